"""Brings the curves of a study's runs to loggers by name, from what the runs write into their folders.

A process for each logger reads the runs' files and is the only one that calls the library: whatever that raises, and
however long it hangs, no run learns of it. So runs of any launcher are logged, wherever they are trained.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from sklab.errors import DamagedRecordError
from sklab.store.files import content, write_whole
from sklab.store.measured.metrics import read_epochs, read_points
from sklab.store.records import RunRecord
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.system.processes import no_main_module
from sklab.system.safe_path import protect
from sklab.system.terminal import tell
from sklab.tracking.client import in_short
from sklab.tracking.named import Mirrored, opened

DEADLINE = 25.0  # seconds that the end of a study waits for its loggers
_LOOK_EVERY = 1.0  # seconds between two looks at the runs, and 20 times as long as a look takes
_AGAIN = 60.0  # seconds until a logger that failed is tried again
_KILLED = 5.0  # seconds

Row = tuple[int, dict[str, float]]


@contextmanager
def mirrored(study: StudyFolder, names: Sequence[str], deadline: float = DEADLINE) -> Iterator[None]:
    """Meanwhile the runs of `study` are logged by the loggers `names`; afterwards all that has ended is logged, in at
    most `deadline` seconds. What is not is logged by the next start."""
    protect()
    spawn = multiprocessing.get_context("spawn")
    started: list[tuple[str, SpawnProcess, Connection]] = []
    for name in names:
        theirs, ours = spawn.Pipe(duplex=False)
        process = spawn.Process(target=_follow, args=(name, study.path, theirs), daemon=True, name=f"sklab-{name}")
        with no_main_module():
            process.start()
        theirs.close()
        started.append((name, process, ours))
    try:
        yield
    finally:
        _end(started, deadline)


def _end(started: Sequence[tuple[str, SpawnProcess, Connection]], deadline: float) -> None:
    until = time.monotonic() + deadline
    for _, _, pipe in started:
        with suppress(OSError):  # it has ended
            pipe.send("the study has ended")
    for name, process, pipe in started:
        try:
            process.join(max(0.0, until - time.monotonic()))
        finally:
            if process.is_alive():
                process.kill()
                process.join(_KILLED)
                left = "the next start of the study logs the rest"
                tell(f"sklab: {name}: not all was logged within {deadline:g} s; {left}")
            pipe.close()


def _follow(name: str, folder: Path, pipe: Connection) -> None:
    """The process of a logger: it looks until it is told that the study has ended, or its parent has."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    os.nice(10)  # training goes first
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)  # what a library has to say of itself
    mirror, failed = Mirror(name, StudyFolder(folder)), ""
    with suppress(EOFError):
        pause = 0.0
        while True:
            ended = pipe.poll(pause) and pipe.recv()
            began = time.monotonic()
            try:
                mirror.look(ended=bool(ended))
                pause = max(_LOOK_EVERY, 20 * (time.monotonic() - began))
            except Exception as error:  # whatever the library raises
                mirror, pause = Mirror(name, StudyFolder(folder)), _AGAIN
                if (text := in_short(error)) != failed:
                    failed = text
                    tell(f"sklab: {name}: {failed}; tried again every minute, and by the next start of the study")
            if ended:
                return


class Mirror:
    """The runs of `study` in the logger called `name`. Which of them are whole there is kept in `<name>/logged.json`;
    without it they are logged anew."""

    def __init__(self, name: str, study: StudyFolder) -> None:
        self._name, self._study = name, study
        self._open: dict[str, _Run] = {}
        self._file = study.path / name / "logged.json"
        self._done = _read(self._file)  # the attempt by key

    def look(self, *, ended: bool = False) -> None:
        """Log what is new; if the study has `ended`, finish also the runs that will not go on."""
        finished = {}
        for folder in sorted(self._study.runs.glob("*")):
            run = RunFolder(folder)
            if self._done.get(folder.name) == run.attempt or not run.metrics_file.exists():
                continue
            with suppress(DamagedRecordError):
                if self._log(run, ended=ended):
                    finished[folder.name] = run.attempt
        if finished:
            self._done |= finished
            self._file.parent.mkdir(exist_ok=True)
            write_whole(self._file, json.dumps(self._done, indent=1) + "\n")

    def _log(self, folder: RunFolder, *, ended: bool) -> bool:
        """Log what is new of a run; whether that was all of it."""
        key, attempt = folder.path.name, folder.attempt
        record = folder.read_record()  # before the rows: with it they are complete
        rows = rows_of(folder)
        run = self._open.get(key)
        if run is None or run.attempt != attempt:
            run = self._open[key] = _Run(attempt, opened(self._name, self._study, folder.read_order()))
        run.send(rows)
        if record is None and not ended:
            return False
        run.finish(record)
        del self._open[key]
        return record is not None


class _Run:
    """An attempt at a run, as far as it is logged."""

    def __init__(self, attempt: int, mirrored: Mirrored) -> None:
        self.attempt, self._mirrored = attempt, mirrored
        self._sent = 0
        self._last: dict[str, float] = {}

    def send(self, rows: Sequence[Row]) -> None:
        for step, row in rows[self._sent :]:
            self._mirrored.log(row, step)
            self._last = row if "epoch" in row else self._last
        self._sent = max(self._sent, len(rows))

    def finish(self, record: RunRecord | None) -> None:
        self._mirrored.finish(record is None or record.state not in ("complete", "pruned"), self._last)


def rows_of(folder: RunFolder) -> list[Row]:
    """The points and epochs that a run has written, by step and in the order in which they were measured.

    The step of an epoch is its last one; its own number where an older version has left no points."""
    epochs = read_epochs(folder.metrics_file)  # first: the points of these epochs are all there
    points = read_points(folder.steps_file)
    ends = {int(point["epoch"]): int(point["step"]) for point in points}
    rows = [(int(point["step"]), {name: point[name] for name in ("train_loss_step", "lr")}) for point in points]
    for number, epoch in enumerate(epochs, start=1):
        named = {name: value for name, value in epoch.items() if name != "seconds"}
        rows.append((ends.get(number, number), {**named, "epoch": float(number)}))
    return sorted(rows, key=lambda row: row[0])


def _read(file: Path) -> dict[str, Any]:
    """The attempts that are logged, by key; none where that can't be read: then all is logged anew, in the same
    places."""
    try:
        found = json.loads(content(file))
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}
