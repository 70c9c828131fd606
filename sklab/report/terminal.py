"""The table as plain text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from sklab.analysis.rows import AblationTable, Row
from sklab.report import words
from sklab.report.columns import Column, columns
from sklab.report.escape import shortened

_WIDEST = 32  # of a name; a longer one loses its middle
_REASON = 80  # letters of a reason in place of numbers; the notes have all of it
_NOTES = 30
_WIDTH = 120  # of the text below the table


def terminal_table(table: AblationTable) -> str:
    """The table in aligned columns, and below it what came out and what is to say about single rows."""
    shown = [column for column in columns(table) if column.short]
    lines = [
        [column.short for column in shown],
        *([shortened(column.text(row), _WIDEST) for column in shown] for row in table.rows),
    ]
    widths = [max(len(line[at]) for line in lines) for at in range(len(shown))]
    head, *body = (_line(line, shown, widths) for line in lines)
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    rows = [_row(row, line, widths) for row, line in zip(table.rows, body, strict=True)]
    return "\n".join([head, rule, *rows, *_below(table)])


def _line(line: Sequence[str], shown: Sequence[Column], widths: Sequence[int]) -> str:
    cells = zip(line, shown, widths, strict=True)
    return "  ".join(
        f"{text:>{width}}" if column.numeric else f"{text:<{width}}" for text, column, width in cells
    ).rstrip()


def _row(row: Row, line: str, widths: Sequence[int]) -> str:
    """`line`, or for a row without numbers its name and the reason."""
    reason = words.no_number(row)
    return f"{line[: widths[0] + widths[1] + 2]}  {_begin(reason)}" if reason else line


def _begin(reason: str) -> str:
    return reason if len(reason) <= _REASON else f"{reason[: _REASON - 1]}…"


def _below(table: AblationTable) -> list[str]:
    notes = words.notes(table)
    more = [f"and {len(notes) - _NOTES} more notes: see the report"] if len(notes) > _NOTES else []
    found = [words.result(table), words.comparison(table), words.pareto(table)]
    published = [words.published(table.sweep), words.reproduced(table)]
    said = [words.progress(table), *found, *published, *notes[:_NOTES], *more]
    return ["", *(textwrap.fill(line, _WIDTH, subsequent_indent="  ") for line in said if line)]
