"""The table in the formats that need no template: CSV, Markdown and LaTeX."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.column import Column, compared
from sklab.report.columns import columns, power_columns
from sklab.report.escape import markdown, sheet, tex
from sklab.report.words import sentences, verdict
from sklab.report.words.answers import Grid, question_grids

if TYPE_CHECKING:
    from pandas import DataFrame

_NOTES = 20  # below the LaTeX table, which has to stay on its page
_LINES = 40  # of a further LaTeX table, for the same reason
_PLANNED = ("detectable", "more seeds")  # titles of columns that the main table does not explain


@dataclass(frozen=True)
class Heading:
    """A heading over the columns `start` to `end`, counted from 1; "" over columns that stand alone."""

    text: str
    start: int
    end: int

    @property
    def span(self) -> int:
        """The number of columns below it."""
        return self.end - self.start + 1


def headings(shown: Sequence[Column]) -> list[Heading]:
    """The upper line of the table's head."""
    numbered = groupby(enumerate(shown, start=1), key=lambda column: column[1].group)
    spans = [(group, [number for number, _ in members]) for group, members in numbered]
    return [Heading(group, numbers[0], numbers[-1]) for group, numbers in spans]


def gap(shown: Sequence[Column]) -> slice:
    """The columns that are empty in a row without a complete run; the reason stands there."""
    measured = [at for at, column in enumerate(shown) if column.measured]
    return slice(measured[0], measured[-1] + 1)


def table_csv(table: AblationTable) -> str:
    """The table as data with the keys of its runs. Means have 12 significant digits, tests 6; no text is a formula."""
    from sklab.analysis.table.frame import data_frame  # half a second that no other format needs

    return _csv(data_frame(table))


def questions_csv(table: AblationTable) -> str:
    """The answers to the questions, planned or given by the factors, and the pairs behind them, as data."""
    from sklab.analysis.table.frame import answers_frame

    return _csv(answers_frame(table))


def _csv(frame: DataFrame) -> str:
    texts: list[str] = list(frame.select_dtypes("str").columns)
    frame[texts] = frame[texts].map(sheet, na_action="ignore")
    return str(frame.rename(columns=sheet).to_csv(index=False, lineterminator="\n"))


def table_json(table: AblationTable) -> str:
    """The same data as JSON: an object per row, null where there is no number."""
    from sklab.analysis.table.frame import data_frame

    frame = data_frame(table).astype(object)
    rows = frame.where(frame.notna(), None).to_dict("records")
    return json.dumps(rows, indent=1, ensure_ascii=False)


def table_markdown(table: AblationTable) -> str:
    """The table, the notes on single rows, the answers and the effects of the factors."""
    answered = grids_markdown(question_grids(table))
    return "\n".join([rows_markdown(table), *answered, *_effects_markdown(table), ""])


def rows_markdown(table: AblationTable) -> str:
    """The table, with the notes on single rows below it."""
    shown = columns(table)
    numeric = [column.numeric for column in shown]
    lines = _pipe_table(
        [markdown(column.title) for column in shown], [_markdown_cells(row, shown) for row in table.rows], numeric
    )
    remarks = [f"{sentences.progress(table)}.", *sentences.below(table)]
    notes = [f"- {markdown(note)}" for note in sentences.notes(table)]
    paragraphs = [line for text in remarks for line in ("", markdown(text))]
    return "\n".join([*lines, *paragraphs, *([""] if notes else []), *notes])


def effects_markdown(table: AblationTable) -> str:
    """The effects of the factors with the sentences about them."""
    return "\n".join(_effects_markdown(table)[1:])


def questions_markdown(table: AblationTable) -> str:
    """The planned questions with their answers; "" without questions."""
    return "\n".join(grids_markdown(question_grids(table))[1:])


def power_markdown(table: AblationTable) -> str:
    """The smallest difference that the seeds of each cell could show."""
    return "\n".join(markdown_table(*_power(table)))


def effects_tex(table: AblationTable) -> str:
    """Effects of the factors as `table` environments; "" where there are none."""
    return grids_tex(verdict.effect_grids(table))


def questions_tex(table: AblationTable) -> str:
    """The planned questions with their answers as `table` environments; "" without questions."""
    return grids_tex(question_grids(table))


def grids_tex(grids: Iterable[Grid]) -> str:
    """Tables of texts as `table` environments."""
    return "".join(_rows_tex(grid.head, grid.rows, f"{grid.title}; {grid.legend}.") for grid in grids)


def power_tex(table: AblationTable) -> str:
    """The same as a `table` environment; "" where nothing is compared."""
    head, rows = _power(table)
    legend = "; ".join(
        f"{column.title}: {column.legend}" for column in power_columns(table) if column.title in _PLANNED
    )
    return _rows_tex(head, rows, f"What the seeds could show; {legend}.") if rows else ""


def _power(table: AblationTable) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table about power."""
    shown = power_columns(table)
    rows = [[row.name, *(column.text(row) for column in shown)] for row in compared(table)]
    return ["cell", *(column.title for column in shown)], rows


def _effects_markdown(table: AblationTable) -> list[str]:
    """The lines of `effects_markdown`, after an empty one."""
    remarks = [line for text in verdict.effect_sentences(table) for line in ("", markdown(text))]
    return [*remarks, *grids_markdown(verdict.effect_grids(table))]


def grids_markdown(grids: Iterable[Grid]) -> list[str]:
    """The lines of tables of texts with their titles and legends, after an empty one."""
    lines: list[str] = []
    for grid in grids:
        table = markdown_table(grid.head, grid.rows)
        lines += ["", f"**{markdown(grid.title)}**", "", *table, "", markdown(f"{grid.legend}.")]
    return lines


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table of plain texts: words in the first column, numbers in the others."""
    escaped = [[markdown(text) for text in row] for row in (head, *rows)]
    return _pipe_table(escaped[0], escaped[1:], [at > 0 for at in range(len(head))])


def _pipe_table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Iterable[bool]) -> list[str]:
    """The lines of a table whose cells are Markdown already; `numeric` columns are aligned to the right."""
    ruler = ["--:" if is_numeric else ":--" for is_numeric in numeric]
    return [f"| {' | '.join(cells)} |" for cells in (head, ruler, *rows)]


def table_tex(table: AblationTable) -> str:
    r"""A `table` environment, no wider than the line, for a document that has \usepackage{booktabs,graphicx}."""
    sweep = table.sweep
    shown = [column for column in columns(table) if column.short or column.is_factor]  # a page is narrow
    over = headings(shown)
    remarks = [
        f"{sentences.progress(table)}. {sentences.key(table)}",
        *sentences.below(table),
        *sentences.notes(table)[:_NOTES],
    ]
    return "\n".join(
        [
            "% needs \\usepackage{booktabs,graphicx}",
            r"\begin{table}",
            r"\centering\small\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{tex(sweep.study)}{f': {tex(sweep.question)}' if sweep.question else ''}}}",
            r"\par\smallskip",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{''.join('r' if column.numeric else 'l' for column in shown)}}}",
            r"\toprule",
            _ends(rf"\multicolumn{{{heading.span}}}{{c}}{{{tex(heading.text)}}}" for heading in over),
            "".join(rf"\cmidrule(lr){{{heading.start}-{heading.end}}}" for heading in over if heading.text),
            _ends(tex(column.head) for column in shown),
            r"\midrule",
            *(_tex_row(row, shown) for row in table.rows),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\par\smallskip",
            r"\parbox{\linewidth}{\footnotesize",
            "\n\n".join(tex(line) for line in remarks if line),
            "}",
            r"\end{table}",
            "",
        ]
    )


def _rows_tex(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    left_out = f" Shown are {_LINES} of {len(rows)} lines; report.md has all." if len(rows) > _LINES else ""
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering\small",
            rf"\caption{{{tex(caption + left_out)}}}",
            r"\par\smallskip",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
            r"\toprule",
            _ends(map(tex, head)),
            r"\midrule",
            *(_ends(map(tex, row)) for row in rows[:_LINES]),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
            "",
        ]
    )


def _markdown_cells(row: Row, shown: Sequence[Column]) -> list[str]:
    name, *others = (markdown(column.text(row)) for column in shown)
    reason = sentences.no_number(row)
    tags = (" (baseline)" if row.is_baseline else "") + (f" – {markdown(reason)}" if reason else "")
    cells = [name + tags, *others]
    return [f"**{cell}**" if row.stands_out and cell else cell for cell in cells]


def _tex_row(row: Row, shown: Sequence[Column]) -> str:
    name, *others = (tex(column.text(row)) for column in shown)
    cells = [name + (" (baseline)" if row.is_baseline else ""), *others]
    reason, empty = sentences.no_number(row), gap(shown)
    if reason:
        cells[empty] = [rf"\multicolumn{{{empty.stop - empty.start}}}{{l}}{{\emph{{{tex(reason)}}}}}"]
    return _ends(rf"\textbf{{{cell}}}" if row.stands_out and cell else cell for cell in cells)


def _ends(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"
