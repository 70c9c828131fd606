"""The table in Markdown, and other tables of texts. What is wide or detailed folds away where a page shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.escape import markdown
from sklab.report.tables.column import Column
from sklab.report.tables.columns import columns, power_rows
from sklab.report.tables.summary import marked, summary_columns
from sklab.report.words import sentences, verdict
from sklab.report.words.answers import Grid, question_grids


def table_markdown(table: AblationTable) -> str:
    """The seven columns, the notes on single rows, all columns folded away, the answers, the effects of the factors."""
    rows = rows_markdown(table, summary_columns(table), table.rows)
    remarks = [f"{sentences.progress(table)}.", *sentences.below(table)]
    notes = [f"- {markdown(note)}" for note in sentences.notes(table)]
    paragraphs = [line for text in remarks for line in ("", markdown(text))]
    full = rows_markdown(table, columns(table), table.rows)
    every = ["", "<details><summary>All columns</summary>", "", full, "", "</details>"]
    answered = [*grids_markdown(question_grids(table)), *_effects_markdown(table)]
    return "\n".join([rows, *paragraphs, *([""] if notes else []), *notes, *every, *answered, ""])


def rows_markdown(table: AblationTable, shown: Sequence[Column], rows: Sequence[Row]) -> str:
    """These columns of these rows. Bold: the best row, where every other one is significantly worse."""
    heads = [markdown(column.title) for column in shown]
    cells = [_markdown_cells(row, shown, bold=row is table.winner) for row in rows]
    return "\n".join(_pipe_table(heads, cells, [column.numeric for column in shown]))


def effects_markdown(table: AblationTable) -> str:
    """The effects of the factors with the sentences about them."""
    return "\n".join(_effects_markdown(table)[1:])


def questions_markdown(table: AblationTable) -> str:
    """The planned questions with their answers; "" without questions."""
    return "\n".join(grids_markdown(question_grids(table))[1:])


def power_markdown(table: AblationTable) -> str:
    """The smallest difference that the seeds of each cell could show."""
    return "\n".join(markdown_table(*power_rows(table)))


def _effects_markdown(table: AblationTable) -> list[str]:
    """The lines of `effects_markdown`, after an empty one."""
    remarks = [line for text in verdict.effect_sentences(table) for line in ("", markdown(text))]
    return [*remarks, *grids_markdown(verdict.effect_grids(table))]


def grids_markdown(grids: Iterable[Grid]) -> list[str]:
    """The lines of tables of texts with their titles and legends, after an empty one; all but the first fold away."""
    lines: list[str] = []
    for number, grid in enumerate(grids):
        table = [*markdown_table(grid.head, grid.rows), "", markdown(f"{grid.legend}.")]
        title = markdown(grid.title)
        folded = ["", f"<details><summary>{title}</summary>", "", *table, "", "</details>"]
        lines += folded if number else ["", f"**{title}**", "", *table]
    return lines


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table of plain texts: words in the first column, numbers in the others."""
    escaped = [[markdown(text) for text in row] for row in (head, *rows)]
    return _pipe_table(escaped[0], escaped[1:], [at > 0 for at in range(len(head))])


def _pipe_table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Iterable[bool]) -> list[str]:
    """The lines of a table whose cells are Markdown already; `numeric` columns are aligned to the right."""
    ruler = ["--:" if is_numeric else ":--" for is_numeric in numeric]
    return [f"| {' | '.join(cells)} |" for cells in (head, ruler, *rows)]


def _markdown_cells(row: Row, shown: Sequence[Column], *, bold: bool) -> list[str]:
    name, *others = (markdown(marked(row) if column.key == "verdict" else column.text(row)) for column in shown)
    reason = sentences.no_number(row)
    tags = (" (baseline)" if row.is_baseline else "") + (f" – {markdown(reason)}" if reason else "")
    cells = [name + tags, *others]
    return [f"**{cell}**" if bold and cell else cell for cell in cells]
