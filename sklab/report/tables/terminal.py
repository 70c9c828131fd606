"""The table as aligned text for a terminal, with the results below it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.escape import shortened
from sklab.report.evidence.held_out import claims, reading_sentences
from sklab.report.evidence.images import image_sentences
from sklab.report.evidence.nuisance import tuning_result, tuning_sentences
from sklab.report.evidence.plan import confirmation
from sklab.report.tables.column import Column
from sklab.report.tables.columns import columns
from sklab.report.words import literature, methods, sentences, verdict
from sklab.system import terminal

_WIDEST = 32  # of a name; a longer one loses its middle
_REASON = 80  # letters of a reason in place of numbers; the notes have all of it
_NOTES = 30
_WIDTH = 120  # of the text below the table
# How the headings of columns begin, the most important ones first, and those that belong to the column on their left.
_ORDER = (
    "cell",
    "n",
    "error",
    "loss",
    "verdict",
    "diff",
    "P(best)",
    "p adj.",
    "test",
    "shrunken",
    "params",
    "publ.",
    "vs best",
    "MACs",
    "seeds+",
)
_BELONG = ("±95%", "n", "gap")


def terminal_table(table: AblationTable) -> str:
    """The table in aligned columns, as many as the terminal has room for; below it the results and the notes on single
    rows."""
    every = [column for column in columns(table) if column.short]
    texts = [[shortened(column.text(row), _WIDEST) for column in every] for row in table.rows]
    lines = [[column.short for column in every], *texts]
    widths = terminal.column_widths(lines)
    kept = terminal.columns_that_fit(widths, _by_importance(every), terminal.width())
    shown, widths = [every[at] for at in kept], [widths[at] for at in kept]
    left = {at for at, column in enumerate(shown) if not column.numeric}
    head, *body = (terminal.aligned([line[at] for at in kept], widths, left) for line in lines)
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    rows = [_row(row, line, widths) for row, line in zip(table.rows, body, strict=True)]
    left_out = terminal.no_room_for(column.short for column in every if column not in shown)
    return "\n".join([head, rule, *rows, *left_out, *_below(table)])


def _by_importance(shown: Sequence[Column]) -> list[int]:
    """The positions of the columns, the most important ones first. An interval and a number of runs belong to the
    column on their left."""
    ranks: list[float] = []
    for column in shown:
        own = next((rank for rank, start in enumerate(_ORDER) if column.short.startswith(start)), len(_ORDER))
        ranks.append(ranks[-1] + 0.1 if column.short in _BELONG and len(ranks) > 1 else own)
    return sorted(range(len(shown)), key=lambda at: ranks[at])


def _row(row: Row, line: str, widths: Sequence[int]) -> str:
    """`line`; for a row without numbers, its name and the reason."""
    reason = sentences.no_number(row)
    if not reason:
        return line
    begin = line[: widths[0] + widths[1] + 2]
    room = (terminal.width() or sys.maxsize) - len(begin) - 2
    return f"{begin}  {_begin(reason, max(20, min(_REASON, room)))}"


def _begin(reason: str, longest: int) -> str:
    return reason if len(reason) <= longest else f"{reason[: longest - 1]}…"


def _below(table: AblationTable) -> list[str]:
    notes = sentences.notes(table)
    more = [f"and {len(notes) - _NOTES} more notes: see the report"] if len(notes) > _NOTES else []
    results = [*claims(table), verdict.result(table), *verdict.further(table)]
    results += [*tuning_result(table), *tuning_sentences(table), confirmation(table)]
    tests = [methods.comparison(table), sentences.pareto(table), *image_sentences(table), *reading_sentences(table)]
    published = [literature.published(table.sweep), literature.reproduced(table)]
    texts = [sentences.progress(table), *results, *tests, *published, *notes[:_NOTES], *more]
    columns = min(_WIDTH, terminal.width() or _WIDTH)
    return ["", *(terminal.filled(line, columns) for line in texts if line)]
