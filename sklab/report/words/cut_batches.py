"""Names the runs that were trained in smaller batches than their recipe says, because memory ran out."""

from __future__ import annotations

from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.escape import clean


def cut_batches(table: AblationTable) -> list[str]:
    """One line per row and size of batch."""
    return [line for row in table.rows for line in _lines(row)]


def _lines(row: Row) -> list[str]:
    seeds: dict[int, list[str]] = {}
    for run in row.runs:
        if run.record is not None and run.record.accumulate_factor > 1:
            seeds.setdefault(run.record.accumulate_factor, []).append(str(run.seed))
    return [f"{clean(row.name)}: {_told(row, factor, of)}" for factor, of in sorted(seeds.items())]


def _told(row: Row, factor: int, seeds: list[str]) -> str:
    train = next(run.record for run in row.runs if run.record is not None).spec.experiment.train
    return (
        f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)}: out of memory, so trained in batches of "
        f"{train.batch_size // factor} instead of {train.batch_size}, {train.accumulate * factor} accumulated: the "
        f"effective batch is the recipe's, but batch norm sees the smaller ones"
    )
