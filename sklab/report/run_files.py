"""What a report takes from the files of runs: learning curves, and the last lines of logs.

Only a part of them is shown, so that a study of thousands of runs still makes a page.
"""

from __future__ import annotations

import re
from pathlib import Path

from sklab.analysis.table.rows import AblationTable, Row, Run
from sklab.report.escape import clean
from sklab.store.files import tail
from sklab.store.measured.metrics import read_epochs
from sklab.store.study_folder import StudyFolder

_HIGHEST = 1e30
SHOWN = 12  # cells whose curves are read and drawn
Curve = dict[int, float]  # the metric by epoch, counted from 1
RUNS = 60  # whose logs are read; those that failed or diverged come first
_LINES, _LETTERS = 8, 160  # of each
_BYTES = 8192  # read from the end of a file
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
LogTails = dict[str, tuple[str, ...]]  # lines by a run's key


def read_curves(folder: Path, table: AblationTable) -> dict[str, list[Curve]]:
    """The sweep's metric over the epochs: a curve for each complete run of the cells that get a panel."""
    study, metric = StudyFolder(folder), table.sweep.metric.name
    read = {
        row.name: [_read(study.run(run.key).metrics_file, metric) for run in row.runs if run.state == "complete"]
        for row in chosen(table.rows, SHOWN)
    }
    filled = {name: [curve for curve in curves if curve] for name, curves in read.items()}
    return {name: curves for name, curves in filled.items() if curves}


def chosen(rows: tuple[Row, ...], number: int) -> list[Row]:
    """The rows with a mean, in their order. Where there are more than `number`, only the baseline and the best
    means."""
    done = [row for row in rows if row.mean is not None]
    ranked = sorted(done, key=lambda row: (not row.is_baseline, row.rank))
    kept = {row.name for row in ranked[:number]}
    return [row for row in done if row.name in kept]


def _read(file: Path, metric: str) -> Curve:
    """The curve in `file`; empty where there is none. Values that can't be drawn are left out."""
    epochs = enumerate(read_epochs(file), start=1)
    return {at: epoch[metric] for at, epoch in epochs if metric in epoch and abs(epoch[metric]) < _HIGHEST}


def read_log_tails(folder: Path, table: AblationTable) -> LogTails:
    """The last lines of the logs of up to RUNS ended runs. A run whose log is empty or missing has none."""
    study = StudyFolder(folder)
    read = {run.key: log_tail(study.run(run.key).log_file) for run in chosen_runs(table)}
    return {key: lines for key, lines in read.items() if lines}


def chosen_runs(table: AblationTable) -> list[Run]:
    """The runs whose logs are shown: first those without a result, then those with one."""
    ended = [run for row in table.rows for run in row.runs if run.record is not None]
    return sorted(ended, key=lambda run: run.state == "complete")[:RUNS]


def log_tail(file: Path) -> tuple[str, ...]:
    """The last lines of `file` as plain text. Where a progress bar has overwritten a line, only its last text
    counts."""
    return last_lines(tail(file, _BYTES))


def last_lines(text: str) -> tuple[str, ...]:
    """The last lines of `text` that are not blank, each cut short."""
    lines = (_COLOUR.sub("", line.rstrip("\r").rpartition("\r")[2]) for line in text.split("\n"))
    filled = [_printable(line) for line in lines if line.strip()]
    return tuple(filled[-_LINES:])


def _printable(line: str) -> str:
    """`line` without unprintable characters. It keeps its indentation, which a traceback needs."""
    indent = len(line) - len(line.lstrip(" "))
    return f"{' ' * min(indent, 20)}{clean(line)}"[:_LETTERS]
