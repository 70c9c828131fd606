"""Cautions about numbers that may mislead: cells that learned nothing, or that were trained for too few epochs."""

from __future__ import annotations

from sklab.analysis.statistics.boundaries import levels_after_a_look
from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.column import fixed
from sklab.report.escape import clean
from sklab.system.terminal import quantity

_NAMED = 3  # cells in a sentence


def learning(table: AblationTable) -> str:
    """The sentences about cells that learned nothing and cells that are undertrained; "" where there are none."""
    return " ".join(filter(None, (_nothing(table), _undertrained(table))))


def looks(table: AblationTable) -> str:
    """The sentences about the looks at a study that got more seeds after verdicts were shown; "" at the first look."""
    if not table.looks:
        return ""
    level = levels_after_a_look(table.looks)[-1]
    return (
        f"Look {len(table.looks)} of this study ({', then '.join(map(str, table.looks))} seeds): the first look spent "
        "the 5 %, so only what was claimed before and still holds, or differs so much that p would be below "
        f"{level:.2g} at a first look, is claimed now. The p and intervals of the comparisons with the baseline and of "
        "the planned questions allow for this; a further look will ask for still more, so the seeds that would "
        "probably settle a cell are the fewest."
    )


def _nothing(table: AblationTable) -> str:
    rows = [row for row in table.rows if row.guessing is not None]
    if not rows:
        return ""
    guessing = fixed(min(row.guessing for row in rows if row.guessing is not None), 1)
    baseline = " Nor is a comparison with such a baseline worth much." if any(row.is_baseline for row in rows) else ""
    return (
        f"Caution: nothing was learned in {_named(rows)}: the error is no lower than that of guessing, {guessing} %, "
        f"as far as the validation images can tell, and more seeds do not change that.{baseline}"
    )


def _undertrained(table: AblationTable) -> str:
    falls = {row.name: row.last_fall for row in table.rows if row.last_fall is not None}
    rows = sorted((row for row in table.rows if row.name in falls), key=lambda row: -falls[row.name])
    if not rows:
        return ""
    least, most = (fixed(end(falls.values()), 1) for end in (min, max))
    by = most if least == most else f"{least} to {most}"
    fell = "is undertrained: its error" if len(rows) == 1 else "are undertrained: their errors"
    return (
        f"Caution: {_named(rows)} {fell} fell by {by} points in the last epoch, so differences may be of speed, not of "
        "what is learned in the end; more epochs would tell."
    )


def _named(rows: list[Row]) -> str:
    """The first names and the number of cells; for one cell, its name alone."""
    names = ", ".join(clean(row.name) for row in rows[:_NAMED])
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return names if len(rows) == 1 else f"{quantity(len(rows), 'cell')} ({names}{more})"
