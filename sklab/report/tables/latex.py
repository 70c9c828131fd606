"""The table in LaTeX, and other tables of texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.escape import tex
from sklab.report.tables.column import Column
from sklab.report.tables.columns import columns, gap, headings, power_columns, power_rows
from sklab.report.words import sentences, verdict
from sklab.report.words.answers import Grid, question_grids

_NOTES = 20  # below the table, which has to stay on its page
_LINES = 40  # of a further table, for the same reason
_PLANNED = ("detectable", "more seeds")  # titles of columns that the main table does not explain


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
    head, rows = power_rows(table)
    legend = "; ".join(
        f"{column.title}: {column.legend}" for column in power_columns(table) if column.title in _PLANNED
    )
    return _rows_tex(head, rows, f"What the seeds could show; {legend}.") if rows else ""


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


def _tex_row(row: Row, shown: Sequence[Column]) -> str:
    name, *others = (tex(column.text(row)) for column in shown)
    cells = [name + (" (baseline)" if row.is_baseline else ""), *others]
    reason, empty = sentences.no_number(row), gap(shown)
    if reason:
        cells[empty] = [rf"\multicolumn{{{empty.stop - empty.start}}}{{l}}{{\emph{{{tex(reason)}}}}}"]
    return _ends(rf"\textbf{{{cell}}}" if row.stands_out and cell else cell for cell in cells)


def _ends(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"
