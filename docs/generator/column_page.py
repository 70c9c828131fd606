"""The page of the columns of a table, from the table of a study that has them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from keys import attribute_groups, table

from sklab.analysis.frames.runs import runs_frame
from sklab.analysis.frames.table import answers_frame, data_frame
from sklab.analysis.table.rows import AblationTable
from sklab.report.build import study_table
from sklab.report.tables.columns import columns
from sklab.report.tables.summary import summary_columns
from sklab.spec.study.sweep import Published

_EXAMPLE = Path(__file__).parents[2] / "results" / "example"
_SIZE, _ALSO, _TOLERANCE = 320, "val_macro_f1", 0.3
_FILES = {
    "`table.csv` and `Study.table`": data_frame,
    "`questions.csv`": answers_frame,
    "`runs.csv` and `Study.runs`": runs_frame,
}
_MADE = "<!-- Made from the program by `python docs/generator`: change the legends of the columns, not this page. -->"
_START = (
    "What each column of the report's table says, and below that those of the CSV files. A study has the columns that "
    f"it asks for; here it has them all: a margin of one point, {_SIZE} pixels as a further size (`sizes`), a further "
    "metric (`also`), a test split, and published figures with a tolerance. The factors of the design stand between "
    "`cell` and `n`. A report begins with seven columns, `cell,n,error,diff,verdict,params,macs`; `sklab table` with "
    "`--latex` or `--markdown` prints these, or those that `--columns` names. How the numbers are made: "
    "[Statistics](../statistics.md)."
)


def page() -> str:
    """The page: every column with its legend."""
    full = _with_everything()
    rows = [
        (f"`{column.title}`", f"`{column.key}`", f"`{column.short}`" if column.short else "", column.legend)
        for column in (*summary_columns(full)[2:4], *columns(full))
        if column.title not in full.sweep.columns
    ]
    report = table(("column", "`--columns`", "in a terminal", "meaning"), rows).rstrip("\n")
    files = [part for heading, frame in _FILES.items() for part in (f"## {heading}", _frame(frame))]
    return "\n\n".join([_MADE, "# Columns of the table", _START, report, *files]) + "\n"


def _frame(made_by: Callable[..., Any]) -> str:
    """The columns of a data frame, from the docstring of the function that makes it."""
    groups = attribute_groups(made_by.__doc__ or "")
    rows = [(", ".join(f"`{name}`" for name in names), meaning) for names, meaning in groups]
    return table(("column", "meaning"), rows).rstrip("\n")


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
