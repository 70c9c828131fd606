"""The table in LaTeX, and other tables of texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.escape import shortened, tex
from sklab.report.tables.column import Column
from sklab.report.tables.columns import gap, power_columns, power_rows
from sklab.report.tables.summary import chosen_columns
from sklab.report.words import sentences, verdict
from sklab.report.words.answers import Grid, question_grids
from sklab.report.words.literature import published
from sklab.report.words.methods import comparison

_NOTES = 20  # below the table, which has to stay on its page
_LONGEST = 48  # letters of a name or a reason
_PLAIN = ("cell", "n", "params", "macs")  # keys of columns that explain themselves
_LINES = 40  # of a further table, for the same reason
_PLANNED = ("detectable", "more seeds")  # titles of columns that the main table does not explain


def table_tex(table: AblationTable, keys: Sequence[str] = ()) -> str:
    r"""A `table` environment for a document that has \usepackage{booktabs}: the columns with these keys, by default the
    seven of the summary. Raises SklabError for a key that the table does not have."""
    shown = chosen_columns(table, keys)
    question = f": {table.sweep.question}" if table.sweep.question else ""
    notes = sentences.notes(table)
    more = [f"and {len(notes) - _NOTES} more notes: see table.md"] if len(notes) > _NOTES else []
    remarks = [f"{sentences.progress(table)}. {_key(table, shown)}", *notes[:_NOTES], *more]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{tex(table.sweep.study + question)}}}",
            rf"\label{{tab:{re.sub('[^A-Za-z0-9-]+', '-', table.sweep.study)}}}",
            r"\par\smallskip",
            rf"\begin{{tabular}}{{{''.join('r' if column.numeric else 'l' for column in shown)}}}",
            r"\toprule",
            _ends(tex(_head(column)) for column in shown),
            r"\midrule",
            *(_tex_row(row, shown, bold=row is table.winner) for row in table.rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\par\smallskip",
            r"\parbox{\linewidth}{\footnotesize",
            "\n\n".join(tex(line) for line in remarks if line),
            "}",
            r"\end{table}",
            "",
        ]
    )


def _head(column: Column) -> str:
    """The heading of a column; that of the metric without the word that the line below the table has."""
    return column.title.removeprefix("validation ") if column.key == "error" else column.title


def _key(table: AblationTable, shown: Sequence[Column]) -> str:
    """What the columns say, for the line below the table."""
    said = [f"{_head(column)}: {column.legend}" for column in shown if column.key not in _PLAIN]
    bold = "Bold: every other cell is significantly worse." if table.winner else ""
    about = {"latency": sentences.latency(table), "published": published(table.sweep)}
    further = [text for key, text in about.items() if any(column.key.startswith(key) for column in shown)]
    return " ".join(filter(None, [*said, bold, comparison(table), *further]))


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
            r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{tex(caption + left_out)}}}",
            r"\par\smallskip",
            rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
            r"\toprule",
            _ends(map(tex, head)),
            r"\midrule",
            *(_ends(map(tex, row)) for row in rows[:_LINES]),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _tex_row(row: Row, shown: Sequence[Column], *, bold: bool) -> str:
    cells = [tex(shortened(column.text(row), _LONGEST)) for column in shown]
    if row.is_baseline and shown[0].key == "cell":
        cells[0] += " (baseline)"
    reason, empty = sentences.no_number(row), gap(shown)
    if reason and (width := empty.stop - empty.start):
        cells[empty] = [rf"\multicolumn{{{width}}}{{l}}{{\emph{{{tex(shortened(reason, _LONGEST))}}}}}"]
    return _ends(rf"\textbf{{{cell}}}" if bold and cell else cell for cell in cells)


def _ends(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"
