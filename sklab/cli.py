"""The command line: parse, one call, print. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sklab.errors import SklabError

if TYPE_CHECKING:
    from sklab.launch.base import Launcher
    from sklab.launch.slots import Slot
    from sklab.records import RunFolder, StudyFolder
    from sklab.spec.probe import Probe
    from sklab.spec.run import Experiment
    from sklab.spec.sweep import Sweep

N = TypeVar("N", int, float)

_COMPLETE, _SOME_FAILED, _USER_ERROR, _INTERRUPTED = 0, 1, 2, 130
_LARGEST_SCALE = 8.0


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns 0: all runs complete, 1: some runs failed, 2: user error, 130: interrupted."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except SklabError as error:
        print(f"sklab: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"sklab: {error}; finished runs are safe, the same command goes on from them", file=sys.stderr)
        return _USER_ERROR
    except KeyboardInterrupt:
        print("sklab: interrupted; finished runs are safe, the same command goes on from them", file=sys.stderr)
        return _INTERRUPTED


def _sweep(options: argparse.Namespace) -> int:
    if options.plan:
        return _plan(options)
    sweep = _load(options)
    _warn_of_budget(sweep)
    if options.budget and not _within(options.budget, sweep, options):
        return _USER_ERROR
    return _run(sweep, options)


def _train(options: argparse.Namespace) -> int:
    from sklab.sweep.load import load_single

    return _run(load_single(options.file, seed=options.seed, overrides=_overrides(options)), options)


def _run(sweep: Sweep, options: argparse.Namespace) -> int:
    """Run a study to its end, then write and show its table and report."""
    from sklab.machine import this_code
    from sklab.progress import show_progress
    from sklab.sweep.policy import MAX_IDENTICAL
    from sklab.sweep.runner import run_study
    from sklab.sweep.space import space_costs
    from sklab.tracking.mode import choose
    from sklab.tracking.summary import log_table

    folder = _study(sweep.study, options)
    most = _at_least("--max-identical", options.max_identical, 1, MAX_IDENTICAL)
    costs = space_costs(sweep, _costs_elsewhere)
    launcher = _launcher(sweep, folder, options)
    choice = choose(options.no_wandb, folder=folder.path)
    try:
        with show_progress(sweep, choice.notice) as progress:
            complete = run_study(
                sweep, folder, launcher, this_code(), choice.tracking, progress, options.reuse, most, costs
            )
    finally:
        launcher.stop()
    report = _show_table(folder, write=True)
    log_table(folder.path / "table.csv", sweep.study, choice.tracking, folder.path)
    print(f"\nreport: {report}")
    return _COMPLETE if complete else _SOME_FAILED


def _launcher(sweep: Sweep, folder: StudyFolder, options: argparse.Namespace) -> Launcher:
    """This machine, or the engine that `--launcher` names."""
    from sklab.launch.watchdog import STALE_AFTER
    from sklab.sweep.check import most_devices

    stale_after = 60 * _at_least("--stale-after", options.stale_after, 0, STALE_AFTER / 60)
    if options.launcher is None:
        from sklab.launch.local import LocalLauncher
        from sklab.launch.slots import find_slots

        return LocalLauncher(find_slots(options.slots, most_devices(sweep)), stale_after)
    from sklab.launch.ray import RayLauncher
    from sklab.launch.slurm import SlurmLauncher
    from sklab.spec.ray import RaySpec
    from sklab.sweep.launcherfile import read_launcher

    spec = read_launcher(options.launcher)
    if isinstance(spec, RaySpec):
        return RayLauncher(spec, most_devices(sweep))
    launcher = SlurmLauncher(spec, folder.path, sweep.study, most_devices(sweep))
    told = f"runs go on in Slurm when this command is stopped; end them: scancel --me --name={launcher.job_name}"
    print(told, file=sys.stderr)
    return launcher


def _at_least(option: str, found: N | None, least: N, default: N) -> N:
    """The value of a numeric option, or its default. Raises SklabError for a smaller one, or no number."""
    value = default if found is None else found
    if not value >= least:  # a NaN is not
        raise SklabError(f"{option}: found {value}; allowed: {least} or more (default: {default:g})")
    return value


def _retry(options: argparse.Namespace) -> int:
    from sklab.sweep.retry import retry
    from sklab.text import retry_text

    folder = _study(options.study, options)
    print(retry_text(retry(folder, options.cell or None, failed=options.failed), folder.path.name))
    return _COMPLETE


def _warn_of_budget(sweep: Sweep) -> None:
    """Say on standard error which cells the sweep's claim of equal budget does not hold for."""
    if sweep.equal_budget is None:
        return
    from sklab.spec.budget import Cost, off_budget
    from sklab.sweep.design import run_spec

    experiments = [run_spec(sweep, cell, sweep.seeds[0]).experiment for cell in sweep.cells]
    counted = zip(sweep.cells, _costs_elsewhere(experiments), strict=True)
    costs = {cell.name: Cost(params=params, macs=macs) for cell, (params, macs) in counted}
    for off in off_budget(sweep.equal_budget, costs, sweep.baseline):
        print(f"warning: {off}", file=sys.stderr)


def _plan(options: argparse.Namespace) -> int:
    from sklab.launch.slots import find_slots
    from sklab.sweep.check import most_devices
    from sklab.sweep.plan import make_plan
    from sklab.sweep.space import space_costs
    from sklab.text import differences_text, plan_text

    sweep = _load(options)
    folder, slots = _study(sweep.study, options), find_slots(options.slots, most_devices(sweep))
    probes = _probes(sweep, folder, slots) if options.probe else {}
    costs = space_costs(sweep, lambda experiments: [_cost(experiment) for experiment in experiments])
    plan = make_plan(sweep, folder, len(slots), _cost, probes, gpu=slots[0].gpu is not None, costs=costs)
    print(plan.model_dump_json(indent=1) if options.json else plan_text(plan))
    if options.differences:
        print(differences_text(plan))
    return _kept_to(options.budget, plan.device_hours, gpu=plan.gpu) if options.budget else _COMPLETE


def _probes(sweep: Sweep, folder: StudyFolder, slots: tuple[Slot, ...]) -> dict[str, Probe]:
    """A probe of each cell that no finished run tells the price of."""
    from sklab.launch.local import LocalLauncher
    from sklab.sweep.plan import unpriced
    from sklab.sweep.probe import probe

    unknown = unpriced(sweep, folder)
    if unknown:
        print(f"probing {len(unknown)} cells, a few steps of each", file=sys.stderr, flush=True)
    launcher = LocalLauncher(slots)
    try:
        return probe(unknown, launcher, folder.path.parent)
    finally:
        launcher.stop()


def _kept_to(budget: str, device_hours: float | None, *, gpu: bool) -> int:
    """Say how a plan stands to the budget; the exit code of one that is too dear is that of a refusal."""
    from sklab.sweep.prices import hours
    from sklab.text import budget_text

    over = device_hours is None or device_hours > hours(budget)
    print(budget_text(device_hours, budget, over=over, gpu=gpu), file=sys.stderr)
    return _USER_ERROR if over else _COMPLETE


def _within(budget: str, sweep: Sweep, options: argparse.Namespace) -> bool:
    """Whether the sweep may start: it costs no more than the budget, or the user at the terminal says so."""
    from sklab.launch.slots import find_slots
    from sklab.sweep.check import most_devices
    from sklab.sweep.plan import price_left
    from sklab.sweep.prices import hours

    hours(budget)  # a fault in it is told before anything is probed
    folder, slots = _study(sweep.study, options), find_slots(options.slots, most_devices(sweep))
    left = price_left(sweep, folder, len(slots), _probes(sweep, folder, slots))
    if _kept_to(budget, left.device_hours if left else None, gpu=slots[0].gpu is not None) == _COMPLETE:
        return True
    if sys.stdin.isatty() and sys.stderr.isatty():
        print("start it all the same? [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    print("sklab: nothing was started; fewer seeds or epochs, or a larger --budget", file=sys.stderr)
    return False


def _status(options: argparse.Namespace) -> int:
    import time

    from sklab.sweep.status import Watcher
    from sklab.text import status_text

    folder = _study(options.study, options)
    if options.watch:
        return _watch(folder)
    status = Watcher(folder).look(time.time())
    print(status.model_dump_json(indent=1) if options.json else status_text(status))
    return _COMPLETE


def _watch(folder: StudyFolder) -> int:
    from contextlib import suppress

    from rich.console import Console

    from sklab.watch import watch

    with suppress(KeyboardInterrupt):  # who watches ends nothing but the watching
        watch(folder, Console())
    return _COMPLETE


def _logs(options: argparse.Namespace) -> int:
    from contextlib import suppress

    from sklab.records import find_run
    from sklab.watch import follow, log_of

    run = find_run(options.run, options.results)
    with suppress(KeyboardInterrupt):
        for text in follow(run) if options.follow else [log_of(run)]:
            print(text, end="", flush=True)
    return _COMPLETE


def _dashboard(options: argparse.Namespace) -> int:
    from contextlib import suppress

    from sklab.dashboard import open_dashboard

    with suppress(KeyboardInterrupt):
        open_dashboard(_study(options.study, options), lambda line: print(line, flush=True))
    return _COMPLETE


def _table(options: argparse.Namespace) -> int:
    _show_table(_study(options.study, options), write=False)
    return _COMPLETE


def _report(options: argparse.Namespace) -> int:
    print(f"\nreport: {_show_table(_study(options.study, options), write=True)}")
    return _COMPLETE


def _compare(options: argparse.Namespace) -> int:
    from sklab.report import side_by_side

    found = side_by_side.compare({name: _study(name, options).path for name in options.studies})
    told = {"text": side_by_side.terminal, "markdown": side_by_side.as_markdown, "json": side_by_side.as_json}
    print(told[options.form](*found))
    return _COMPLETE


def _show_table(folder: StudyFolder, *, write: bool) -> Path | None:
    """Print the study's table, from the records; with `write`, rebuild its files and return the report's path."""
    from sklab.report import build

    table = build.study_table(folder.path)
    report = build.write(folder.path, table) if write else None
    print(build.terminal_table(table))
    return report


def _wandb_publish(options: argparse.Namespace) -> int:
    from sklab.tracking.mode import sync_command
    from sklab.tracking.publish import publish, write_specs
    from sklab.tracking.sync import pending

    study = _study(options.study, options)
    if options.dry_run:
        print("\n".join(str(file) for file in write_specs(study)))
        return _COMPLETE
    for view in publish(study):
        print(f"{view.kind} {'created' if view.created else 'updated'}: {view.url}")
    if left := len(pending(study)):
        print(f"{left} offline runs are not on the server yet: {sync_command(study.path)}")
    return _COMPLETE


def _wandb_sync(options: argparse.Namespace) -> int:
    from sklab.tracking.sync import pending, sync

    study = _study(options.study, options)
    study.read_sweep()
    files = pending(study)
    for number, file in enumerate(sync(study, files), start=1):
        print(f"{number} of {len(files)} uploaded: {file.parent.name}", flush=True)
    if not files:
        print("every offline run that has ended was uploaded before")
    return _COMPLETE


def _models(options: argparse.Namespace) -> int:
    import json

    from sklab.models.cost import cost
    from sklab.spec.networks import SETTINGS, image_size, network
    from sklab.text import models_text

    rows = []
    for name in SETTINGS:
        counted = cost(network(name), image_size(name))
        rows.append({"name": name, "params": counted.params, "macs": counted.macs, "image_size": image_size(name)})
    print(json.dumps(rows, indent=1) if options.json else models_text(rows))
    return _COMPLETE


def _doctor(options: argparse.Namespace) -> int:
    from sklab.launch.local import LocalLauncher
    from sklab.launch.slots import find_slots
    from sklab.sweep.check import check, data_faults, data_refusal, refusal
    from sklab.text import findings_text, machine_text

    slots = find_slots()
    print(machine_text(slots))
    if options.file is None:
        return _COMPLETE
    launcher = LocalLauncher(slots[:1])
    try:
        sweep = _load(options)
        result = check(sweep, launcher, options.results)
        faults = data_faults(sweep, launcher, options.results)
    finally:
        launcher.stop()
    print(findings_text(result))
    bad = [finding for finding in result.findings if not finding.ok]
    told = [*([refusal(bad)] if bad else []), *([data_refusal(faults)] if faults else [])]
    if told:
        raise SklabError("\n".join(told))
    return _COMPLETE


def _evaluate(options: argparse.Namespace) -> int:
    from sklab.machine import find_gpus
    from sklab.records import find_run
    from sklab.text import evaluation_text
    from sklab.training.evaluate import evaluate

    device, study = "cuda" if find_gpus() else "cpu", _study(options.run, options)
    if study.sweep_file.exists():
        return _evaluate_study(study, options, device)
    evaluation = evaluate(find_run(options.run, options.results), options.size, device)
    print(evaluation.model_dump_json(indent=1) if options.json else evaluation_text(evaluation))
    return _COMPLETE


def _evaluate_study(study: StudyFolder, options: argparse.Namespace, device: str) -> int:
    """Evaluate every complete run of a study, each told as it ends; one without weights does not stop the others."""
    import json

    from sklab.text import evaluation_text
    from sklab.training.evaluate import evaluate_study

    evaluations, failed = [], False
    for record, outcome in evaluate_study(study, options.size, device):
        run = f"{record.cell}, seed {record.spec.seed}"
        if isinstance(outcome, SklabError):
            failed = True
            print(f"sklab: {run}: {outcome}", file=sys.stderr, flush=True)
            continue
        evaluations.append(outcome.model_dump(mode="json"))
        print(f"{run}: {evaluation_text(outcome)}", file=sys.stderr if options.json else sys.stdout, flush=True)
    if options.json:
        print(json.dumps(evaluations, indent=1))
    return _SOME_FAILED if failed else _COMPLETE


def _analyze(options: argparse.Namespace) -> int:
    import json
    from dataclasses import asdict

    from sklab.analysis.findings import findings
    from sklab.machine import find_gpus
    from sklab.text import behaviour_text
    from sklab.training.analyze import analyze_all

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    runs, baseline = _runs_of(options)
    device = "cuda" if find_gpus() else "cpu"
    analyses = analyze_all(runs, _data(options.data), _scales(options.scales), device, say)
    found = findings(analyses, baseline)
    print(json.dumps([asdict(each) for each in found], indent=1) if options.json else behaviour_text(found))
    return _COMPLETE if all(len(analyses[cell]) == len(runs[cell]) for cell in runs) else _SOME_FAILED


def _runs_of(options: argparse.Namespace) -> tuple[dict[str, list[RunFolder]], str]:
    """The runs of the study that is named, by cell, and its baseline; or the one run under its own cell."""
    from sklab.analysis.findings import runs_by_cell
    from sklab.records import find_run

    study = _study(options.target, options)
    if study.sweep_file.exists():
        sweep = study.read_sweep()
        return runs_by_cell(study, sweep), sweep.baseline
    run = find_run(options.target, options.results)
    return {run.read_order().cell: [run]}, ""


def _data(texts: list[str]) -> dict[str, object]:
    """The `--data key=value` options, values read as YAML."""
    from sklab.sweep.yamltree import parse

    pairs = _pairs(texts, "--data", "val_size=4000")
    return {key: parse(value, "--data", (key,)).tree for key, value in pairs.items()}


def _scales(text: str) -> tuple[float, ...]:
    try:
        scales = tuple(map(float, text.split(",")))
    except ValueError:
        scales = ()
    rising = all(smaller < larger for smaller, larger in pairwise((*scales, _LARGEST_SCALE + 1)))  # a NaN is not
    if scales[:1] != (1.0,) or not rising or scales[-1] > _LARGEST_SCALE:
        allowed = f"rising numbers from 1.0 up to {_LARGEST_SCALE:g}, for example 1.0,1.5,2.0"
        raise SklabError(f"--scales: found {text!r}; allowed: {allowed}")
    return scales


def _load(options: argparse.Namespace) -> Sweep:
    from sklab.sweep.load import load_sweep
    from sklab.sweep.toy import toy

    overrides = _overrides(options)
    sweep = load_sweep(options.file, experiment=options.experiment, seeds=options.seeds, overrides=overrides)
    return toy(sweep) if options.toy else sweep


def _overrides(options: argparse.Namespace) -> dict[str, str]:
    """The `--set path=value` options as a mapping. Raises SklabError for one without a value."""
    return _pairs(options.set, "--set", "train.epochs=2")


def _pairs(texts: list[str], option: str, example: str) -> dict[str, str]:
    pairs = {text: text.partition("=") for text in texts}
    for text, (path, equals, _) in pairs.items():
        if not (path and equals):
            raise SklabError(f"{option}: found {text!r}; allowed: path=value, for example {example}")
    return {path: value for path, _, value in pairs.values()}


def _study(name: str, options: argparse.Namespace) -> StudyFolder:
    """The folder of a study given by its name under `--results`, or by a path to the folder itself."""
    from sklab.records import StudyFolder

    given = Path(name)
    return StudyFolder(given if (given / "sweep.yaml").exists() else options.results / name)


def _cost(experiment: Experiment) -> tuple[int, int]:
    from sklab.models.cost import cost

    counted = cost(experiment.model, experiment.data.image_size)
    return counted.params, counted.macs


def _costs_elsewhere(experiments: list[Experiment]) -> list[tuple[int, int]]:
    """The costs, counted in a process of its own: the runner stays without torch."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return list(pool.map(_cost, experiments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sklab", description="The ablation-study lab for Selective Kernel networks.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(
        name: str, call: Callable[[argparse.Namespace], int], text: str, among: Any = commands
    ) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = among.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        added.set_defaults(command=call)
        return added

    sweep = command("sweep", _sweep, "train what is missing of a sweep, then write its table and report")
    _add_sweep_file(sweep)
    _add_running(sweep)
    sweep.add_argument("--plan", action="store_true", help="only say what would be done")
    _add_budget(sweep, "ask before it starts what takes more device-hours than this (90m, 40h, 2d), or refuse")
    sweep.set_defaults(json=False, probe=False, differences=False)
    plan = command("plan", _plan, "say what a sweep would do, what is done and how long the rest may take")
    _add_sweep_file(plan)
    plan.add_argument("--slots", type=int, metavar="N", help="runs at a time, for the time estimate")
    plan.add_argument("--probe", action="store_true", help="train a few steps of cells that no finished run prices")
    text = "list in which resolved settings each cell differs from the baseline"
    plan.add_argument("--differences", action="store_true", help=text)
    _add_budget(plan, "say whether it takes more device-hours than this (90m, 40h, 2d)")
    _add_json(plan)
    status = command("status", _status, "say how a study stands")
    _add_study(status)
    status.add_argument("--watch", action="store_true", help="show it anew every two seconds while a runner is at work")
    _add_json(status)
    logs = command("logs", _logs, "print what a run has printed")
    logs.add_argument("run", metavar="RUN", help="its folder, STUDY/key, or its key")
    logs.add_argument("--follow", action="store_true", help="go on until the run's process ends")
    _add_results(logs)
    _add_study(command("dashboard", _dashboard, "show a study in optuna-dashboard, from a read-only copy"))
    text = "set failed runs aside, so that the next start of their sweep trains them anew"
    retry = command("retry", _retry, text)
    _add_study(retry)
    retry.add_argument("--failed", action="store_true", help="the failed runs (default without --cell)")
    text = "the failed and the diverged runs of these cells; with --failed, only the failed ones of them"
    retry.add_argument("--cell", nargs="+", action="extend", default=[], metavar="NAME", help=text)
    _add_study(command("table", _table, "print a study's table"))
    _add_study(command("report", _report, "rebuild a study's table files, figures and report from its records"))
    wandb = commands.add_parser("wandb", help="bring a study to Weights & Biases")
    actions = wandb.add_subparsers(title="actions", metavar="ACTION", required=True)
    sync = command("sync", _wandb_sync, "upload the offline runs that were not uploaded before", actions)
    _add_study(sync)
    publish = command("publish", _wandb_publish, "make or update a study's workspace and W&B report", actions)
    _add_study(publish)
    publish.add_argument("--dry-run", action="store_true", help="only write the two as JSON, without any network")
    compare = command("compare", _compare, "put studies side by side, cell by cell, with the first as the reference")
    compare.add_argument("studies", nargs="+", metavar="STUDY", help="name of a study, or its folder")
    _add_results(compare)
    forms = compare.add_mutually_exclusive_group()
    forms.add_argument("--markdown", action="store_const", dest="form", const="markdown", help="print Markdown")
    forms.add_argument("--json", action="store_const", dest="form", const="json", help="print JSON, for machines")
    compare.set_defaults(form="text")
    train = command("train", _train, "train one experiment once")
    train.add_argument("file", type=Path, metavar="EXPERIMENT", help="an experiment file")
    train.add_argument("--seed", type=int, default=0, help="of initialisation, order and augmentation (default: 0)")
    _add_set(train)
    _add_results(train)
    _add_running(train)
    evaluate = command("evaluate", _evaluate, "evaluate finished runs, at another image size if asked")
    evaluate.add_argument("run", metavar="RUN", help="a study, or a run: its folder, STUDY/key, or its key")
    evaluate.add_argument("--size", type=int, metavar="N", help="pixels a side (default: as trained)")
    _add_results(evaluate)
    _add_json(evaluate)
    analyze = command("analyze", _analyze, "say what the SK units of finished runs do, and what their stages see")
    analyze.add_argument("target", metavar="STUDY|RUN", help="a study or its folder; or a run as for evaluate")
    text = "settings of the data set instead of the runs', for example val_size=4000; with a name, of another set"
    analyze.add_argument("--data", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=text)
    text = "how much objects are enlarged (default: %(default)s)"
    analyze.add_argument("--scales", default="1.0,1.25,1.5,1.75,2.0", metavar="A,B,...", help=text)
    _add_results(analyze)
    _add_json(analyze)
    _add_json(command("models", _models, "list the networks with their parameters and multiply-accumulates"))
    doctor = command("doctor", _doctor, "print versions and devices; with a sweep, check its arithmetic and data")
    _add_sweep_file(doctor, needed=False)
    return parser


def _add_sweep_file(parser: argparse.ArgumentParser, *, needed: bool = True) -> None:
    parser.add_argument("file", type=Path, metavar="SWEEP", nargs=None if needed else "?", help="a sweep file")
    parser.add_argument("--experiment", type=Path, metavar="FILE", help="run the sweep on this experiment instead")
    parser.add_argument("--seeds", type=int, metavar="N", help="seeds 0 to N-1 instead of the sweep's")
    text = "at toy size, on noise, as study STUDY-toy: shows that the sweep works; its numbers mean nothing"
    parser.add_argument("--toy", action="store_true", help=text)
    _add_set(parser)
    _add_results(parser)


def _add_set(parser: argparse.ArgumentParser) -> None:
    text = "replace a value of the experiment, for example train.epochs=2 (may be repeated)"
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help=text)


def _add_running(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--slots", type=int, metavar="N", help="runs at a time (default: one per GPU, else per core)")
    where.add_argument("--launcher", type=Path, metavar="FILE", help="run on a cluster, as this file says")
    parser.add_argument("--no-wandb", action="store_true", help="do not log to Weights & Biases")
    text = "end a run that makes no step for so long (default: 30; 0: never)"
    parser.add_argument("--stale-after", type=float, metavar="MINUTES", help=text)
    text = "start nothing more once so many runs ended with one and the same traceback (default: 3)"
    parser.add_argument("--max-identical", type=int, metavar="N", help=text)
    parser.set_defaults(reuse="any code")
    from_others = parser.add_mutually_exclusive_group()
    text = "train also what another study under DIR has finished"
    from_others.add_argument("--no-reuse", dest="reuse", action="store_const", const="never", help=text)
    text = "reuse of other studies only what this very version and commit of sklab made, without uncommitted changes"
    from_others.add_argument("--strict", dest="reuse", action="store_const", const="same code", help=text)


def _add_budget(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--budget", metavar="TIME", help=text)


def _add_study(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY", help="name of a study, or its folder")
    _add_results(parser)


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", type=Path, metavar="DIR", default=Path("results"), help="default: results")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for machines")


if __name__ == "__main__":
    sys.exit(main())
