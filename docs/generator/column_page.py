"""The page of the columns of a table, from the table of a study that has them all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from keys import table

from sklab.analysis.table.rows import AblationTable
from sklab.report.build import study_table
from sklab.report.tables.columns import columns
from sklab.spec.study.sweep import Published

_EXAMPLE = Path(__file__).parents[2] / "results" / "example"
_SIZE, _ALSO, _TOLERANCE = 320, "val_macro_f1", 0.3
_MADE = "<!-- Made from the program by `python docs/generator`: change the legends of the columns, not this page. -->"
_START = (
    "What each column of the report's table says. A study has the columns that it asks for; here it has them all: a "
    f"margin of one point, {_SIZE} pixels as a further size (`sizes`), a further metric (`also`), a test split, and "
    "published figures with a tolerance. The factors of the design stand between `cell` and `n`. How the numbers are "
    "made: [Statistics](../statistics.md)."
)


def page() -> str:
    """The page: every column with its legend."""
    full = _with_everything()
    rows = [
        (f"`{column.title}`", f"`{column.short}`" if column.short else "", column.legend)
        for column in columns(full)
        if column.title not in full.sweep.columns
    ]
    return "\n\n".join([_MADE, "# Columns of the table", _START, table(("column", "in a terminal", "meaning"), rows)])


def _with_everything() -> AblationTable:
    """The table of the example that ships, as if its sweep had asked for more."""
    full = study_table(_EXAMPLE)
    first, *others = full.rows
    asked = {"sizes": (_SIZE,), "also": (_ALSO,), "published": _published(full.sweep.published)}
    row = replace(first, replay_latency_ms=first.latency_ms)  # as on a GPU
    return replace(full, sweep=full.sweep.model_copy(update=asked), rows=(row, *others))


def _published(figures: Published | None) -> Published:
    """The published figures as if they were of the same data, and of two sizes."""
    assert figures is not None
    rows = {cell: row.model_copy(update={"errors": {_SIZE: row.error}}) for cell, row in figures.rows.items()}
    return figures.model_copy(update={"data": "scaled_digits", "rows": rows, "tolerance": _TOLERANCE})
