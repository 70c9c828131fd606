"""What a report shows of the best cell, where the sweep asks for it."""

from __future__ import annotations

from sklab.analysis.table.rows import AblationTable
from sklab.report.column import Column, chance_text, fixed, metric_digits


def best_columns(table: AblationTable, group: str) -> tuple[Column, ...]:
    """The columns on the best cell, under the heading `group`."""
    if table.likeliest is None:
        return ()
    digits = metric_digits(table.sweep.metric)
    chance = (
        "probability that the cell is the best of the study, that its mean over new seeds is the lowest, by a "
        "hierarchical model of all runs; bold rows are told apart from the baseline as better"
    )
    shrunken = (
        "the mean that the same model expects of the cell over these seeds: nearer to the other cells' where their "
        "spread may be luck. The lowest of many means flatters itself, this one hardly"
    )
    return (
        Column("P(best)", group, "P(best)", chance, lambda row: chance_text(row.chance), "P(best)"),
        Column("shrunken mean", group, "shrunken", shrunken, lambda row: fixed(row.shrunken, digits), "shrunken"),
    )
