"""A search with two objectives in words: it has no single best cell, but a set of which none is better in both."""

from __future__ import annotations

from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.escape import clean
from sklab.report.words.phrases import value
from sklab.spec.study.search import COST_NOUNS, Kind


def front(table: AblationTable) -> str:
    """The Pareto set by the means, the cheapest cell first; "" for a study with one objective."""
    against = table.sweep.search.against if table.sweep.search else None
    if against is None or not table.front:
        return ""
    told = "; ".join(f"{clean(row.name)}: {value(table, row)} at {_cost(row, against)}" for row in table.front)
    return (
        f"Two objectives, so no single best cell. By their means {len(table.front)} of the cells stand on the Pareto "
        f"set, where none with as few {COST_NOUNS[against]} has a lower error: {told}."
    )


def _cost(row: Row, against: Kind) -> str:
    return f"{getattr(row, against):,} {COST_NOUNS[against]}"
