"""What keeps the numbers of a study from meaning what they seem to: cells that learned nothing."""

from __future__ import annotations

from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.column import fixed
from sklab.report.escape import clean
from sklab.system.terminal import counted

_NAMED = 3  # cells in a sentence


def learning(table: AblationTable) -> str:
    """The cells that learned nothing; "" where every cell that has runs learned something."""
    rows = [row for row in table.rows if row.guessing is not None]
    if not rows:
        return ""
    guessing = fixed(min(row.guessing for row in rows if row.guessing is not None), 1)
    baseline = " Nor is a comparison with such a baseline worth much." if any(row.is_baseline for row in rows) else ""
    return (
        f"Caution: nothing was learned in {_named(rows)}: the error is no lower than that of guessing, {guessing} %, "
        f"as far as the validation images can tell, and more seeds do not change that.{baseline}"
    )


def _named(rows: list[Row]) -> str:
    """The first names: of one cell the name alone."""
    names = ", ".join(clean(row.name) for row in rows[:_NAMED])
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return names if len(rows) == 1 else f"{counted(len(rows), 'cell')} ({names}{more})"
