"""All studies of a results folder, each in a few words."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from sklab.errors import DamagedRecordError
from sklab.spec.values import Seq, Value
from sklab.store.records import RunState
from sklab.store.study_folder import StudyFolder
from sklab.sweep.state.status import StudyStatus, Watcher


class StudySummary(Value):
    """A study as `sklab list` tells it.

    folder    its path
    study     its name in the sweep; "" where the sweep can't be read, as `fault` then says
    answers   the planned questions with their verdicts, as the last report gives them
    cells     number of cells that are trained
    counts    number of runs in each state
    live      whether a runner is at work on it
    eta_seconds  as in `StudyStatus`
    changed   when a run of it last ended, or its sweep was last written: UTC, ISO 8601
    """

    folder: str
    study: str = ""
    question: str = ""
    answers: Seq[str] = ()
    cells: int = 0
    total: int = 0
    counts: dict[RunState, int] = {}
    live: bool = False
    eta_seconds: float | None = None
    changed: str = ""
    fault: str = ""


def studies(results: Path, moment: float) -> Iterator[StudySummary]:
    """The studies in the folder `results`, by name; `moment` is now, in seconds of `time.time`."""
    for file in sorted(results.glob("*/sweep.yaml")):
        yield _summary(StudyFolder(file.parent), moment)


def _summary(folder: StudyFolder, moment: float) -> StudySummary:
    try:
        sweep, status = folder.read_sweep(), Watcher(folder).look(moment)
    except (DamagedRecordError, OSError) as error:
        return StudySummary(folder=str(folder.path), fault=str(error))
    return StudySummary(
        folder=str(folder.path),
        study=sweep.study,
        question=sweep.question,
        answers=tuple(_answers(folder)),
        cells=len(sweep.cells),
        total=status.total,
        counts=status.counts,
        live=status.live,
        eta_seconds=status.eta_seconds,
        changed=_changed(folder, status),
    )


def _changed(folder: StudyFolder, status: StudyStatus) -> str:
    times = [folder.sweep_file.stat().st_mtime]
    for run in status.runs:
        with suppress(OSError):
            times.append(folder.run(run.key).record_file.stat().st_mtime)
    return datetime.fromtimestamp(max(times), UTC).isoformat(timespec="seconds")


def _answers(folder: StudyFolder) -> Iterator[str]:
    """Each planned question with its verdict, from the table that stands beside the report."""
    with suppress(OSError, ValueError, csv.Error), (folder.path / "questions.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if not row.get("pair") and row.get("planned") == "True" and row.get("verdict"):
                yield f"{row.get('question')}: {row['verdict']}"
