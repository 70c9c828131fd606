"""The command that confirms a study's best cell on fresh seeds."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sklab.commands.options import (
    USER_ERROR,
    Commands,
    StudyOptions,
    add_code,
    add_command,
    add_study,
    at_least,
    slots_of,
    study_folder,
)
from sklab.commands.run import RunningOptions, add_running, run_here, start_here
from sklab.errors import SklabError
from sklab.system.terminal import duration, quantity, tell

if TYPE_CHECKING:
    from sklab.spec.study.sweep import Sweep
    from sklab.store.study_folder import StudyFolder


@dataclass(frozen=True)
class ConfirmOptions(RunningOptions, StudyOptions):
    """The options of `sklab confirm`."""

    seeds: int | None
    plan: bool
    yes: bool


def add_confirm(commands: Commands) -> None:
    """`sklab confirm`."""
    text = "train a study's likeliest best cell and its baseline on fresh seeds, and test the difference once"
    confirm = add_command(commands, "confirm", _confirm, ConfirmOptions, text)
    add_study(confirm)
    add_code(confirm)
    add_running(confirm)
    confirm.add_argument("--seeds", type=int, metavar="N", help="so many seeds (default: as many as 80 %% power needs)")
    confirm.add_argument("--plan", action="store_true", help="only say what would be done")
    confirm.add_argument("--yes", action="store_true", help="start without asking")


def _confirm(options: ConfirmOptions) -> int:
    from sklab.report import build
    from sklab.store.study_folder import StudyFolder

    study = study_folder(options.study, options.results)
    folder = StudyFolder(study.confirmation)
    sweep = _begun(folder, options) or _new(study, folder, options)
    if options.plan:
        return 0
    if not (folder.sweep_file.exists() or options.yes or _agreed()):
        return USER_ERROR
    slots = slots_of(sweep, options) if options.launcher is None else ()
    code = run_here(start_here(sweep, folder, options), options, slots)
    print(f"report of {study.path.name}: {build.build(study.path)}")
    return code


def _begun(folder: StudyFolder, options: ConfirmOptions) -> Sweep | None:
    """The confirmation that was begun, which stays as it was stated; None where there is none."""
    if not folder.sweep_file.exists():
        return None
    sweep = folder.read_sweep()
    if not sweep.confirms:
        raise SklabError(f"{folder.path} is a study of its own; move it away to confirm")
    if options.seeds not in (None, len(sweep.seeds)):
        stated = f"the confirmation has {len(sweep.seeds)} seeds, which were stated before its first run"
        raise SklabError(f"--seeds: found {options.seeds}; {stated}: more or fewer after a look would not be one test")
    _say(sweep, "as stated before")
    return sweep


def _new(study: StudyFolder, folder: StudyFolder, options: ConfirmOptions) -> Sweep:
    from sklab.sweep.plan.confirm import choose, confirmation, device_seconds

    at_least("--seeds", options.seeds, 2, 2)
    found, records = study.read_sweep(), study.records()
    chosen = choose(found, records)
    sweep = confirmation(chosen, folder.path.name, options.seeds)
    _say(sweep, f"about {duration(device_seconds(chosen, sweep, records))} of device time")
    return sweep


def _say(sweep: Sweep, how: str) -> None:
    winner = next(cell.name for cell in sweep.cells if cell.name != sweep.baseline)
    seeds = f"{quantity(len(sweep.seeds), 'fresh seed')} ({sweep.seeds[0]} to {sweep.seeds[-1]})"
    runs = quantity(len(sweep.seeds) * len(sweep.cells), "run")
    print(f"{winner} against {sweep.baseline} on {seeds}: {runs}, {how}; study {sweep.study}", flush=True)


def _agreed() -> bool:
    if sys.stdin.isatty() and sys.stderr.isatty():
        print("start it? [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    tell("sklab: nothing was started; --yes starts it without asking")
    return False
