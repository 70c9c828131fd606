"""The ends of the logs of runs, short enough that a study of thousands of runs still makes a page."""

from __future__ import annotations

import re
from pathlib import Path

from sklab.analysis.table.rows import AblationTable, Run
from sklab.report.escape import clean
from sklab.store.files import tail
from sklab.store.study_folder import StudyFolder

RUNS = 60  # whose logs are read: the ones that failed or diverged first
_LINES, _LETTERS = 8, 160  # of each
_BYTES = 8192  # read from the end of a file
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")

Tails = dict[str, tuple[str, ...]]  # lines by a run's key


def read_tails(folder: Path, table: AblationTable) -> Tails:
    """The last lines of the logs of up to RUNS ended runs; none for a run whose log is empty or gone."""
    study = StudyFolder(folder)
    read = {run.key: log_tail(study.run(run.key).log_file) for run in chosen_runs(table)}
    return {key: lines for key, lines in read.items() if lines}


def chosen_runs(table: AblationTable) -> list[Run]:
    """The runs whose logs are worth a place: those without a number before those with one."""
    ended = [run for row in table.rows for run in row.runs if run.record is not None]
    return sorted(ended, key=lambda run: run.state == "complete")[:RUNS]


def log_tail(file: Path) -> tuple[str, ...]:
    """The last lines of `file` as plain text; of a line that a progress bar wrote over, what stood there last."""
    return last_lines(tail(file, _BYTES))


def last_lines(text: str) -> tuple[str, ...]:
    """The last lines of `text` that say something, each cut short."""
    lines = (_COLOUR.sub("", line.rstrip("\r").rpartition("\r")[2]) for line in text.split("\n"))
    said = [_printable(line) for line in lines if line.strip()]
    return tuple(said[-_LINES:])


def _printable(line: str) -> str:
    """`line` with its indentation, which a traceback is read by."""
    indent = len(line) - len(line.lstrip(" "))
    return f"{' ' * min(indent, 20)}{clean(line)}"[:_LETTERS]
