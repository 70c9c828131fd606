"""The report as pages: `report.md` and the self-contained `report.html`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import yaml
from markupsafe import escape

from sklab.analysis.attention.cells import AttentionResults
from sklab.analysis.evidence.compute import Compute
from sklab.analysis.table.rows import AblationTable
from sklab.report.evidence.components import chance_grids, chance_sentences
from sklab.report.evidence.compute import statement
from sklab.report.evidence.held_out import claim_sentences, reading_sentences
from sklab.report.evidence.images import image_sentences
from sklab.report.evidence.nuisance import tuning_grids, tuning_result, tuning_sentences
from sklab.report.evidence.plan import confirmation, plan_sentences
from sklab.report.figures.attention import FIELD_HEAD, NAMES, TREND_HEAD, field_rows, trend_rows
from sklab.report.figures.style import Drawing
from sklab.report.numbers import fixed
from sklab.report.pages import environment, summary
from sklab.report.provenance import changes, origins
from sklab.report.run_files import LogTails
from sklab.report.tables.column import compared
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
from sklab.report.tables.summary import summary_columns, summary_rows
from sklab.report.words import sentences, verdict
from sklab.report.words.answers import question_grids, remarks
from sklab.report.words.attention_trend import attention_trend
from sklab.report.words.methods import methods
from sklab.report.words.notes import origin_path
from sklab.report.words.references import bibtex
from sklab.report.words.verdict import Top
from sklab.store.states import TROUBLED
from sklab.system.terminal import quantity

_FAILURES = 100  # listed one by one
_NO_TAILS: LogTails = {}
_NO_ATTENTION = AttentionResults()
_NO_COMPUTE = Compute(())


def render(
    table: AblationTable,
    drawings: Sequence[Drawing],
    tails: LogTails = _NO_TAILS,
    results: AttentionResults = _NO_ATTENTION,
    compute: Compute = _NO_COMPUTE,
) -> dict[str, str]:
    """All text files of the report by name. The same arguments always give the same text."""
    cited = bibtex(table)
    context = {**_context(table, drawings, tails), **_attention(results, table), "bibtex": escape(cited)}
    context["compute"] = statement(table, compute) if compute.attempts else ()
    return {
        "table.csv": table_csv(table),
        "questions.csv": questions_csv(table),
        "runs.csv": runs_csv(table),
        "table.md": table_markdown(table),
        "table.tex": table_tex(table),
        "references.bib": cited,
        **{name: _page(name, context) for name in ("report.tex", "report.md", "report.html")},
    }


def _page(name: str, context: dict[str, Any]) -> str:
    return environment(autoescape=name.endswith("html")).get_template(f"{name}.j2").render(context, contents=[])


def _context(table: AblationTable, drawings: Sequence[Drawing], tails: LogTails) -> dict[str, Any]:
    shown = columns(table)
    distinct, made = origins(table)
    return {
        "table": table,
        "sweep": table.sweep,
        "columns": shown,
        "summary": summary(table),
        "summary_markdown": rows_markdown(table, summary_columns(table), summary_rows(table)),
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
        "question_remarks": remarks(table),
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
        "rows_markdown": rows_markdown(table, shown, table.rows),
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
    return {
        "top": _top(table, trend),
        "results": (*verdict.rest(table, trend), *tuning_result(table)),
        "attention_note": results.note,
        "trend_head": TREND_HEAD,
        "trends": trend_rows(results),
        "field_head": FIELD_HEAD,
        "fields": field_rows(results),
        "attention_figures": NAMES[:-1],
    }


def _top(table: AblationTable, trend: str) -> Top:
    """The top of the page; a claim on the test split goes before what validation images say."""
    top, claim = verdict.top(table, trend), claim_sentences(table)
    if len(claim) < 2:
        return replace(top, cautions=(*claim, *top.cautions))
    return replace(top, sentence=claim[0], others=(top.sentence, *top.others), cautions=(*claim[1:], *top.cautions))
