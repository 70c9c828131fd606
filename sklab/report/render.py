"""The report as pages: `report.md` and the self-contained `report.html`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import yaml
from markupsafe import Markup, escape

from sklab.analysis.attention.cells import AttentionResults
from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.escape import clean, markdown, tex
from sklab.report.evidence.best import confirmation
from sklab.report.evidence.components import chance_grids, chance_sentences
from sklab.report.evidence.held_out import claims, reading_sentences
from sklab.report.evidence.images import image_sentences
from sklab.report.evidence.nuisance import tuning_grids, tuning_result, tuning_sentences
from sklab.report.evidence.plan import plan_sentences
from sklab.report.figures.attention import FIELD_HEAD, NAMES, TREND_HEAD, field_rows, trend_rows
from sklab.report.figures.style import Drawing, inline
from sklab.report.numbers import DAGGER, DOUBLE_DAGGER, fixed
from sklab.report.provenance import changes, origins
from sklab.report.run_files import LogTails
from sklab.report.tables.column import Column, compared
from sklab.report.tables.columns import columns, gap, headings, power_columns
from sklab.report.tables.latex import effects_tex, grids_tex, power_tex, questions_tex, table_tex
from sklab.report.tables.markdown import (
    effects_markdown,
    grids_markdown,
    power_markdown,
    questions_markdown,
    rows_markdown,
    table_markdown,
)
from sklab.report.tables.sheets import questions_csv, runs_csv, table_csv
from sklab.report.words import sentences, verdict
from sklab.report.words.answers import question_grids
from sklab.report.words.attention_trend import attention_trend
from sklab.report.words.methods import methods
from sklab.report.words.notes import origin_path
from sklab.report.words.references import bibtex
from sklab.store.states import TROUBLED
from sklab.system.terminal import quantity

_TEMPLATES = Path(__file__).parent / "templates"
_FAILURES = 100  # listed one by one
_NO_TAILS: LogTails = {}
_NO_ATTENTION = AttentionResults()


def render(
    table: AblationTable,
    drawings: Sequence[Drawing],
    tails: LogTails = _NO_TAILS,
    results: AttentionResults = _NO_ATTENTION,
) -> dict[str, str]:
    """All text files of the report by name. The same arguments always give the same text."""
    cited = bibtex(table)
    context = {**_context(table, drawings, tails), **_attention(results, table), "bibtex": escape(cited)}
    return {
        "table.csv": table_csv(table),
        "questions.csv": questions_csv(table),
        "runs.csv": runs_csv(table),
        "table.md": table_markdown(table),
        "table.tex": table_tex(table),
        "references.bib": cited,
        "report.tex": environment(autoescape=False).get_template("report.tex.j2").render(context),
        "report.md": environment(autoescape=False).get_template("report.md.j2").render(context),
        "report.html": environment(autoescape=True).get_template("report.html.j2").render(context),
    }


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
    made.filters.update(kind=_kind, lines=_lines)
    return made


def _context(table: AblationTable, drawings: Sequence[Drawing], tails: LogTails) -> dict[str, Any]:
    shown = columns(table)
    distinct, made = origins(table)
    return {
        "table": table,
        "sweep": table.sweep,
        "columns": shown,
        "gap": gap(shown),
        "headings": headings(shown),
        "drawings": {drawing.name: drawing for drawing in drawings},
        "compared": compared(table),
        "power_columns": power_columns(table),
        "tails": tails,
        "changes": changes(table),
        "numbers": {row.name: number for number, row in enumerate(table.rows, start=1)},
        "failures": [(row, run) for row in table.rows for run in row.runs if run.state in TROUBLED],
        "shown_failures": _FAILURES,
        "origins": distinct,
        "made": made,
        "origin_path": origin_path,
        "origins_of": lambda row: dict.fromkeys(made[run.key] for run in row.runs if run.record),
        "sentences": sentences,
        "question_grids": question_grids(table),
        "verdict": verdict,
        "methods": methods,
        "plan": plan_sentences(table),
        "confirmation": confirmation(table),
        "image_sentences": image_sentences(table),
        "tuned": tuning_sentences(table),
        "tuned_grids": (tuned := tuning_grids(table)),
        "tuned_markdown": "\n".join(grids_markdown(tuned)[1:]),
        "tuned_tex": grids_tex(tuned),
        "test_split": reading_sentences(table),
        "chance": chance_sentences(table),
        "chance_grids": (sources := chance_grids(table)),
        "chance_markdown": "\n".join(grids_markdown(sources)[1:]),
        "chance_tex": grids_tex(sources),
        "quantity": quantity,
        "unit": table.sweep.metric.measure.unit,
        "value": lambda run: fixed(run.value, table.sweep.metric.measure.digits + 2),
        "error": lambda run, size: fixed(run.errors[size], 4),
        "rows_markdown": rows_markdown(table),
        "questions_markdown": questions_markdown(table),
        "effects_markdown": effects_markdown(table),
        "power_markdown": power_markdown(table),
        "questions_tex": questions_tex(table),
        "effects_tex": effects_tex(table),
        "power_tex": power_tex(table),
        "experiment": escape(yaml.safe_dump(table.sweep.experiment, sort_keys=False)),
    }


def _attention(results: AttentionResults, table: AblationTable) -> dict[str, Any]:
    trend = attention_trend(results)
    paragraphs = (*claims(table), verdict.result(table, trend), *verdict.further(table, trend), *tuning_result(table))
    return {
        "result": paragraphs[0],
        "further": paragraphs[1:],
        "attention_note": results.note,
        "trend_head": TREND_HEAD,
        "trends": trend_rows(results),
        "field_head": FIELD_HEAD,
        "fields": field_rows(results),
        "attention_figures": NAMES[:-1],
    }


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
    return Markup(inline(drawing.svg))  # noqa: S704  # matplotlib escapes what it writes


def _hang(text: str) -> Markup:
    """`text` with its daggers in the margin, so that the digits of a column stay under each other."""
    hung = escape(text)
    for dagger in (DAGGER, DOUBLE_DAGGER):
        hung = hung.replace(dagger, Markup(f'<span class="dagger">{dagger}</span>'))  # noqa: S704
    return hung


def _kind(column: Column) -> str:
    """The CSS class of a column: numbers, factors (which a narrow screen leaves out) or words."""
    return "num" if column.numeric else "factor" if column.is_factor else "word"
