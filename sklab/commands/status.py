"""The commands that look at studies, also while they run: list, status, logs, dashboard."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sklab.commands.options import (
    COMPLETE,
    SOME_FAILED,
    Commands,
    StudyJsonOptions,
    StudyOptions,
    add_command,
    add_json,
    add_results,
    add_run,
    add_study,
    study_folder,
)
from sklab.system.terminal import fitting

if TYPE_CHECKING:
    from sklab.store.study_folder import StudyFolder


@dataclass(frozen=True)
class StatusOptions(StudyJsonOptions):
    """The options of `sklab status`."""

    watch: bool


@dataclass(frozen=True)
class ListOptions:
    """The options of `sklab list`."""

    results: Path
    json: bool


@dataclass(frozen=True)
class LogsOptions:
    """The options of `sklab logs`."""

    run: list[str]
    follow: bool
    results: Path


def add_status(commands: Commands) -> None:
    """`sklab status`."""
    status = add_command(commands, "status", _status, StatusOptions, "say how a study stands")
    add_study(status)
    status.add_argument("--watch", action="store_true", help="show it anew every two seconds while a runner is at work")
    add_json(status)


def add_list(commands: Commands) -> None:
    """`sklab list`."""
    text = "list the studies under DIR: runs in each state, the last change, what was asked and what came out"
    listed = add_command(commands, "list", _list, ListOptions, text)
    add_results(listed)
    add_json(listed)


def add_logs(commands: Commands) -> None:
    """`sklab logs`."""
    logs = add_command(commands, "logs", _logs, LogsOptions, "print what a run has printed")
    add_run(logs)
    logs.add_argument("--follow", action="store_true", help="go on until the run's process ends")
    add_results(logs)


def add_dashboard(commands: Commands) -> None:
    """`sklab dashboard`."""
    text = "show a study in optuna-dashboard, from a read-only copy"
    add_study(add_command(commands, "dashboard", _dashboard, StudyOptions, text))


def _status(options: StatusOptions) -> int:
    import time

    from sklab.commands.screen.status import status_text
    from sklab.sweep.state.status import Watcher

    folder = study_folder(options.study, options.results)
    if options.watch:
        return _watch(folder)
    status = Watcher(folder).look(time.time())
    print(status.model_dump_json(indent=1) if options.json else fitting(status_text(status)))
    return SOME_FAILED if status.unreadable else COMPLETE


def _list(options: ListOptions) -> int:
    import json
    import time

    from sklab.commands.screen.status import studies_text
    from sklab.sweep.state.studies import studies

    found = list(studies(options.results, time.time()))
    as_json = json.dumps([study.model_dump(mode="json") for study in found], indent=1) if options.json else ""
    print(as_json or fitting(studies_text(found, options.results)))
    return SOME_FAILED if any(study.fault for study in found) else COMPLETE


def _watch(folder: StudyFolder) -> int:
    from contextlib import suppress

    from rich.console import Console

    from sklab.commands.screen.progress import watch

    with suppress(KeyboardInterrupt):  # Ctrl-C ends only the watching
        watch(folder, Console())
    return COMPLETE


def _logs(options: LogsOptions) -> int:
    from contextlib import suppress

    from sklab.commands.screen.progress import follow, log_of
    from sklab.sweep.state.named import run_of_words
    from sklab.system.terminal import raw

    run = run_of_words(options.run, options.results)
    out = sys.stdout if sys.stdout.isatty() else raw(sys.stdout)  # a file or program gets the log unchanged
    is_empty = True
    with suppress(KeyboardInterrupt):
        for text in follow(run) if options.follow else [log_of(run)]:
            print(text, end="", flush=True, file=out)
            is_empty = is_empty and not text
    if is_empty:
        print(f"sklab: {run.log_file} is empty: the run has printed nothing", file=sys.stderr)
    return COMPLETE


def _dashboard(options: StudyOptions) -> int:
    from contextlib import suppress

    from sklab.commands.screen.optuna_dashboard import open_dashboard

    with suppress(KeyboardInterrupt):
        open_dashboard(study_folder(options.study, options.results), lambda line: print(line, flush=True))
    return COMPLETE
