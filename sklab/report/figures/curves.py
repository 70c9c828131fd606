"""Learning curves, read from the `metrics.csv` of complete runs."""

from __future__ import annotations

from pathlib import Path

from sklab.analysis.table.rows import AblationTable, Row
from sklab.store.metrics import read_epochs
from sklab.store.study_folder import StudyFolder

_HIGHEST = 1e30
SHOWN = 12  # cells whose curves are read and drawn
Curve = dict[int, float]  # the metric by epoch, counted from 1


def read_curves(folder: Path, table: AblationTable) -> dict[str, list[Curve]]:
    """The sweep's metric over the epochs: a curve for each complete run of the cells that are worth a panel."""
    study, metric = StudyFolder(folder), table.sweep.metric.name
    read = {
        row.name: [_read(study.run(run.key).metrics_file, metric) for run in row.runs if run.state == "complete"]
        for row in chosen(table.rows, SHOWN)
    }
    filled = {name: [curve for curve in curves if curve] for name, curves in read.items()}
    return {name: curves for name, curves in filled.items() if curves}


def chosen(rows: tuple[Row, ...], number: int) -> list[Row]:
    """The rows with a mean, in their order; of more than `number` only the baseline and the lowest."""
    done = [row for row in rows if row.mean is not None]
    ranked = sorted(done, key=lambda row: (not row.is_baseline, row.mean))
    kept = {row.name for row in ranked[:number]}
    return [row for row in done if row.name in kept]


def _read(file: Path, metric: str) -> Curve:
    """The curve in `file`; empty where there is none. What can't be drawn is left out."""
    epochs = enumerate(read_epochs(file), start=1)
    return {at: epoch[metric] for at, epoch in epochs if metric in epoch and abs(epoch[metric]) < _HIGHEST}
