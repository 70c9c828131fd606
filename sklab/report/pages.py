"""What makes pages of the templates: the filters that they use, and the table of seven columns as a piece of HTML."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup, escape

from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.escape import clean, markdown, tex
from sklab.report.figures.style import Drawing, inline
from sklab.report.numbers import DAGGER, DOUBLE_DAGGER, NOTHING
from sklab.report.tables.column import Column
from sklab.report.tables.columns import gap
from sklab.report.tables.summary import MARKS, summary_columns, summary_rows
from sklab.report.words import sentences
from sklab.report.words.verdict import best_sentence
from sklab.system.terminal import quantity

_TEMPLATES = Path(__file__).parent / "templates"


def summary_html(table: AblationTable) -> str:
    """The seven columns as a piece of HTML with its own style, for a notebook or another page."""
    return environment(autoescape=True).get_template("notebook.html.j2").render(of=summary(table))


def summary(table: AblationTable) -> dict[str, Any]:
    """What the template of the summary shows."""
    rows, shown = summary_rows(table), summary_columns(table)
    numbers = {row.name: number for number, row in enumerate(table.rows, start=1)}
    means = f"the {table.sweep.metric.measure.best} means"
    left_out = f"{len(rows)} of {quantity(len(table.rows), 'cell')} shown: the baseline and {means}."
    return {
        "title": f"{table.sweep.study}: {table.sweep.metric.measure.title}",
        "columns": shown,
        "gap": gap(shown),
        "rows": [(row, numbers[row.name], sentences.no_number(row), _more(row, shown)) for row in rows],
        "winner": table.winner,
        "note": left_out if len(rows) < len(table.rows) else "",
        "best": best_sentence(table),
        "marks": MARKS,
    }


def _more(row: Row, shown: Sequence[Column]) -> str:
    """The columns that a telephone has no room for, in a line: `n 3/3, 56.8 k params, 2.30 M MACs`."""
    costs = [(column.text(row), column.title.partition(" (")) for column in shown if column.key in ("params", "macs")]
    told = [
        " ".join(filter(None, (text, unit.rstrip(")"), name))) for text, (name, _, unit) in costs if text != NOTHING
    ]
    return ", ".join([f"n {row.n}/{row.planned}", *told])


def environment(*, autoescape: bool) -> jinja2.Environment:
    """What makes pages and tables of the templates."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=autoescape,  # noqa: S701  # off for Markdown and LaTeX, which have filters of their own
        undefined=jinja2.StrictUndefined,
        finalize=_one_line if autoescape else None,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(md=markdown, tex=tex, path=_path, settings=_settings, inline=_inline, hang=_hang)
    made.filters.update(kind=_kind, lines=_lines, slug=_slug, lead=_lead, halves=_halves)
    return made


def _one_line(value: Any) -> Any:
    """`value` without control characters and signs that turn the writing direction. Our own markup stays as it is."""
    return clean(value) if type(value) is str else value


def _path(key: str) -> str:
    """A relative link to the folder of the run with this key; signs that a link can't hold are escaped."""
    return f"runs/{quote(key, safe='')}"


def _settings(row: Row) -> str:
    """The settings of the experiment that a cell changes."""
    return "; ".join(f"{path} = {json.dumps(value)}" for path, value in row.settings.items()) or "nothing"


def _lines(lines: Sequence[str]) -> Markup:
    """The lines with their indentation, unchanged."""
    return Markup("\n").join(lines)


def _inline(drawing: Drawing) -> Markup:
    return Markup(inline(drawing))  # noqa: S704  # matplotlib escapes what it writes


def _hang(text: str) -> Markup:
    """`text` with its daggers in the margin, so that the digits of a column stay under each other."""
    hung = escape(text)
    for dagger in (DAGGER, DOUBLE_DAGGER):
        hung = hung.replace(dagger, Markup(f'<span class="dagger">{dagger}</span>'))  # noqa: S704
    return hung


def _kind(column: Column) -> str:
    """The CSS classes of a column: numbers, factors or words; `extra` where paper and a narrow screen leave it out."""
    extra = "" if column.short or column.is_factor else " extra"
    return f"{'num' if column.numeric else 'factor' if column.is_factor else 'word'}{extra}"


def _slug(title: str) -> str:
    """The anchor of a heading, as GitHub makes it of one in Markdown."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _lead(text: str) -> tuple[str, str]:
    """The first sentence of a caption, and the rest."""
    first, stop, rest = text.partition(". ")
    return first + stop.rstrip(), rest


def _halves(text: str) -> tuple[str, str]:
    """A number, and the interval behind it, which a narrow screen shows below it."""
    begin, sign, end = text.partition(" ± ") if " ± " in text else text.partition(" (")
    return begin, f"{sign.lstrip()}{end}"
