"""The commands that train, and the one that sets failed runs aside: sweep, train, retry."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from sklab.commands.options import (
    COMPLETE,
    SOME_FAILED,
    USER_ERROR,
    Commands,
    LogOptions,
    SlotOptions,
    StudyOptions,
    SweepFileOptions,
    add_budget,
    add_code,
    add_command,
    add_gpus,
    add_log,
    add_results,
    add_reuse,
    add_set,
    add_study,
    add_sweep_file,
    at_least,
    folder_of,
    load,
    overrides_of,
    pairs_of,
    slots_of,
    study_folder,
    typed,
)
from sklab.commands.plan import PlanOptions, costs_elsewhere, show_plan, start_of, warn, within
from sklab.commands.results import show_report
from sklab.errors import SklabError
from sklab.system.phases import phase
from sklab.system.terminal import fitting, tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from sklab.launch.base import Launcher
    from sklab.launch.local.packing import Packing
    from sklab.launch.slots import Slot
    from sklab.spec.study.sweep import Sweep
    from sklab.store.study_folder import StudyFolder
    from sklab.sweep.plan.prepared import Reuse, Start
    from sklab.tracking.mode import Choice

Show: TypeAlias = "Callable[[StudyFolder], int]"


@dataclass(frozen=True)
class RunningOptions(SlotOptions, LogOptions):
    """The options of every command that trains."""

    results: Path
    launcher: Path | None
    stale_after: float | None
    max_identical: int | None
    reuse: Reuse


@dataclass(frozen=True)
class SweepOptions(SweepFileOptions, RunningOptions):
    """The options of `sklab sweep`."""

    plan: bool
    budget: str | None


@dataclass(frozen=True)
class TrainOptions(RunningOptions):
    """The options of `sklab train`."""

    file: Path
    seed: int
    set: list[str]


@dataclass(frozen=True)
class RetryOptions(StudyOptions):
    """The options of `sklab retry`."""

    failed: bool
    cell: list[str]


def add_sweep(commands: Commands) -> None:
    """`sklab sweep`."""
    sweep = add_command(
        commands, "sweep", _sweep, SweepOptions, "train what is missing of a sweep, then write its table and report"
    )
    add_sweep_file(sweep)
    add_running(sweep)
    sweep.add_argument("--plan", action="store_true", help="only say what would be done")
    add_budget(sweep, "ask before it starts what takes more device-hours than this (90m, 40h, 2d), or refuse")


def add_train(commands: Commands) -> None:
    """`sklab train`."""
    train = add_command(commands, "train", _train, TrainOptions, "train one experiment once")
    train.add_argument("file", type=Path, metavar="EXPERIMENT", help="an experiment file")
    train.add_argument("--seed", type=int, default=0, help="of initialisation, order and augmentation (default: 0)")
    add_set(train)
    add_results(train)
    add_code(train)
    add_running(train)


def add_retry(commands: Commands) -> None:
    """`sklab retry`."""
    text = "set failed runs aside, so that the next start of their sweep trains them anew"
    retry = add_command(commands, "retry", _retry, RetryOptions, text)
    add_study(retry)
    retry.add_argument("--failed", action="store_true", help="the failed runs (default without --cell)")
    text = "the failed, diverged and pruned runs of these cells; with --failed, only the failed ones of them"
    retry.add_argument("--cell", nargs="+", action="extend", default=[], metavar="NAME", help=text)


def add_running(parser: argparse.ArgumentParser) -> None:
    """The options of every command that trains."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--slots", type=int, metavar="N", help="runs at a time (default: one per GPU, else per core)")
    where.add_argument("--launcher", type=Path, metavar="FILE", help="run on a cluster, as this file says")
    add_gpus(parser)
    add_log(parser)
    text = "end a run that makes no step for so long (default: 30; 0: never)"
    parser.add_argument("--stale-after", type=float, metavar="MINUTES", help=text)
    text = "start nothing more once so many runs ended with one and the same traceback (default: 3)"
    parser.add_argument("--max-identical", type=int, metavar="N", help=text)
    add_reuse(parser)


def _sweep(options: SweepOptions) -> int:
    return show_plan(typed(PlanOptions, options)) if options.plan else sweep_here(options)


def sweep_here(options: SweepOptions, show: Show = show_report) -> int:
    """Train what is missing of a sweep and write its report, which `show` does; returns the exit code."""
    from sklab.sweep.plan.prices import hours

    if options.budget:
        hours(options.budget)  # a faulty budget is reported before anything is counted
    sweep = load(options)
    warn(sweep)
    slots = slots_of(sweep, options) if options.budget or options.launcher is None else ()
    start = start_here(sweep, folder_of(sweep, options.results), options)
    if options.budget and not within(start, options.budget, slots):
        return USER_ERROR
    return run_here(start, options, slots, show)


def _train(options: TrainOptions) -> int:
    from sklab.sweep.files.load import load_single

    with phase(f"reading {options.file}"):
        sweep = load_single(options.file, seed=options.seed, overrides=overrides_of(options.set))
    warn(sweep)
    slots = slots_of(sweep, options) if options.launcher is None else ()
    return run_here(start_here(sweep, folder_of(sweep, options.results), options), options, slots)


def start_here(sweep: Sweep, folder: StudyFolder, options: RunningOptions) -> Start:
    """The arguments with which this command starts the study in `folder`."""
    from sklab.sweep.plan.costs import CostCounter

    return start_of(sweep, folder, options.reuse, CostCounter(costs_elsewhere).of)


def run_here(start: Start, options: RunningOptions, slots: tuple[Slot, ...], show: Show = show_report) -> int:
    """Run a study to its end, in these slots of this machine or with the launcher that the options name; then `show`
    writes its report, and shows it."""
    from sklab.commands.screen.progress import show_progress
    from sklab.sweep.run.failures import MAX_IDENTICAL
    from sklab.sweep.run.runner import run_study
    from sklab.sweep.state.live import live_report
    from sklab.tracking.mirror import mirrored
    from sklab.tracking.summary import log_table

    sweep, folder = start.sweep, start.folder
    most = at_least("--max-identical", options.max_identical, 1, MAX_IDENTICAL)
    choice, others = _followers(options, folder)
    launcher = _launcher(sweep, folder, options, slots)
    try:
        with (
            mirrored(folder, others),
            show_progress(sweep, choice.notice) as shown,
            live_report(shown, folder.path) as progress,
        ):
            complete = run_study(start, launcher, choice.tracking, progress, most)
    finally:
        launcher.stop()
    exit_code = show(folder)
    log_table(folder.path / "table.csv", sweep.study, choice.tracking, folder.path)
    return exit_code if complete else SOME_FAILED


def _followers(options: LogOptions, folder: StudyFolder) -> tuple[Choice, tuple[str, ...]]:
    """Where W&B's share of the study goes, and the other loggers. Raises SklabError for what can't be had."""
    from sklab.tracking.mode import choose
    from sklab.tracking.named import logger_names
    from sklab.tracking.settings import unused

    names = logger_names(options.log)
    why_not = "--no-wandb" if options.no_wandb else "" if "wandb" in names else "--log does not name it"
    choice = choose(why_not, folder.path, given=pairs_of(options.wandb, "--wandb", "project=kernels"))
    if choice.tracking.mode != "disabled" and (text := unused(os.environ)):
        tell(text)
    return choice, tuple(name for name in names if name != "wandb")


def _launcher(sweep: Sweep, folder: StudyFolder, options: RunningOptions, slots: tuple[Slot, ...]) -> Launcher:
    """These slots of this machine, or the engine that `--launcher` names."""
    from sklab.launch.watchdog import STALE_AFTER
    from sklab.sweep.run.preflight import most_devices

    stale_after = 60 * at_least("--stale-after", options.stale_after, 0, STALE_AFTER / 60)
    if options.launcher is None:
        from sklab.launch.local.gpus import OtherUsers
        from sklab.launch.local.launcher import LocalLauncher

        packing = _packing(folder, options, slots)
        other_users = OtherUsers(tell) if options.gpus is None and slots[0].gpu is not None else None
        return LocalLauncher(slots, stale_after, packing, other_users, abreast=bool(options.abreast))
    if options.gpus or options.per_gpu or options.abreast or options.cpu:
        here = "--gpus, --per-gpu, --abreast and --cpu choose among this machine's devices"
        raise SklabError(f"{here}; a launcher's file states a run's (gpus: 0 is the CPU)")
    from sklab.launch.ray.launcher import RayLauncher
    from sklab.launch.slurm.launcher import SlurmLauncher
    from sklab.spec.study.launchers import RaySpec
    from sklab.sweep.files.inputs import read_launcher

    spec = read_launcher(options.launcher)
    if isinstance(spec, RaySpec):
        ray = RayLauncher(spec, most_devices(sweep), stale_after)
        if sweep.search and sweep.search.pruning:
            ray.ensure_shared(folder.path)
        return ray
    launcher = SlurmLauncher(spec, folder.path, sweep.study, most_devices(sweep), stale_after)
    tell(f"runs go on in Slurm when this command is stopped; end them: scancel --me --name={launcher.job_name}")
    return launcher


def _packing(folder: StudyFolder, options: RunningOptions, slots: tuple[Slot, ...]) -> Packing | None:
    """What finds the number of runs on each GPU, where that is asked for."""
    from sklab.launch.local.packing import Packing

    if "auto" not in (options.per_gpu, options.abreast):
        return None
    abreast = options.abreast == "auto"
    return Packing(slots, tell, folder.sharing_file("--abreast" if abreast else "--per-gpu"), abreast=abreast)


def _retry(options: RetryOptions) -> int:
    import time

    from sklab.commands.screen.status import retry_text
    from sklab.sweep.run.failures import retry
    from sklab.sweep.state.status import Watcher

    folder = study_folder(options.study, options.results)
    aside = retry(folder, options.cell or None, failed=options.failed)
    print(fitting(retry_text(aside, Watcher(folder).look(time.time()))))
    return COMPLETE
