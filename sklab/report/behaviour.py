"""The page about a trained network that belongs to no study: what its attention does, and what its stages see."""

from __future__ import annotations

from pathlib import Path

import yaml
from markupsafe import escape

from sklab.analysis.attention.cells import CellAttention, attention_results
from sklab.report.figures.attention import FIELD_HEAD, NAMES, TREND_HEAD, attention_figures, field_rows, trend_rows
from sklab.report.figures.style import write_figures
from sklab.report.pages import environment
from sklab.spec.analysis import Analysis
from sklab.spec.model import ModelSpec
from sklab.store.files import write_whole
from sklab.system.terminal import quantity

_ALONE = FIELD_HEAD.index("minus baseline")  # columns of a network that is compared with none


def write_behaviour(folder: Path, name: str, model: ModelSpec, analysis: Analysis) -> Path:
    """Write the figures and the page `analysis.html` about the network `name` into `folder`, whose `analysis.json` is
    `analysis`; returns the path of the page."""
    results = attention_results([CellAttention(name, (), (analysis,))])
    drawings = attention_figures(results)
    context = {
        "name": name,
        "contents": [],
        "facts": _facts(analysis),
        "network": escape(yaml.safe_dump(model.model_dump(mode="json"), sort_keys=False)),
        "drawings": {drawing.name: drawing for drawing in drawings},
        "attention_note": results.note,
        "attention_figures": NAMES[:-1],
        "trend_head": TREND_HEAD,
        "trends": trend_rows(results),
        "field_head": FIELD_HEAD[:_ALONE],
        "fields": [row[:_ALONE] for row in field_rows(results)],
    }
    write_figures(folder, drawings, NAMES)
    page = folder / "analysis.html"
    write_whole(page, environment(autoescape=True).get_template("behaviour.html.j2").render(context))
    return page


def _facts(analysis: Analysis) -> dict[str, str]:
    data = analysis.data
    settings = data.model_dump(mode="json", exclude={"name", *data.unkeyed}, exclude_defaults=True)
    shown = [f"{key} = {value}" for key, value in settings.items()]
    enlarged = ", ".join(f"{scale:g}" for scale in analysis.enlargements)
    return {
        "Weights": f"SHA-256 {analysis.weights[:12]}…{f', of run {analysis.key}' if analysis.key else ''}",
        "Data": "; ".join([data.title or data.name, *shown, quantity(analysis.images, "validation image")]),
        "Enlargements": enlarged,
        "Computed": f"on {analysis.device}, with torch {analysis.torch}",
    }
