"""Cautions about numbers that may mislead: cells that learned nothing, or that were trained for too few epochs."""

from __future__ import annotations

from sklab.analysis.table.looks import Seen
from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.escape import clean
from sklab.report.numbers import fixed
from sklab.report.words.phrases import looks_at
from sklab.system.terminal import quantity

_NAMED = 3  # cells in a sentence


def learning(table: AblationTable) -> str:
    """The sentences about cells that learned nothing and cells that are undertrained; "" where there are none."""
    return " ".join(filter(None, (_nothing(table), _undertrained(table))))


def looks(table: AblationTable) -> str:
    """The sentences about the looks at a study whose verdicts are not those of a single look; "" for others."""
    seen = table.looks
    if seen is None or not seen.corrected:
        return ""
    return f"Look {len(seen.looks)} of this study ({looks_at(seen)}): {_level(seen)}"


def added_seeds(table: AblationTable) -> str:
    """The clause that follows an advice to add seeds: what they are worth after the look that gives it."""
    unplanned = table.looks is not None and table.looks.most_seeds is None
    return (
        "; to add seeds now is another look, which needs a smaller p unless it was planned (most_seeds)"
        if unplanned
        else ""
    )


def _level(seen: Seen) -> str:
    claims = f"{seen.levels[-1]:.2g} in a study with a single look"
    if seen.most_seeds is not None and len(seen.looks[-1].seeds) <= seen.most_seeds:
        return (
            f"{seen.most_seeds} seeds were planned, and the looks share the 5 % chance of a false claim. A new claim "
            f"now needs a p that would be below {claims}. The p and intervals of the comparisons with the baseline and "
            "of the planned questions allow for this."
        )
    return (
        "an earlier look used up the 5 % chance of a false claim. So an earlier claim stands where it still holds, and "
        f"a new claim needs a p that would be below {claims}. The p and intervals of the comparisons with the baseline "
        "and of the planned questions allow for this. A further look needs a still smaller p, so it may take more "
        "seeds than the numbers to add say."
    )


def _nothing(table: AblationTable) -> str:
    rows = [row for row in table.rows if row.guessing is not None]
    if not rows:
        return ""
    guessing = fixed(min(row.guessing for row in rows if row.guessing is not None), 1)
    baseline = " A comparison with such a baseline says little." if any(row.is_baseline for row in rows) else ""
    return (
        f"Caution: nothing was learned in {_named(rows)}: the error is not detectably lower than that of guessing, "
        f"{guessing} %, and more seeds do not change that.{baseline}"
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
        f"Caution: {_named(rows)} {fell} fell by {by} points in the last epoch. So a cell may be better only because "
        "it learns faster; train for more epochs to see the difference at the end."
    )


def _named(rows: list[Row]) -> str:
    """The first names and the number of cells; for one cell, its name alone."""
    names = ", ".join(clean(row.name) for row in rows[:_NAMED])
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return names if len(rows) == 1 else f"{quantity(len(rows), 'cell')} ({names}{more})"
