"""The sentence on how attention changes as objects grow."""

from __future__ import annotations

from typing import get_args

from sklab.analysis.attention.cells import AttentionResults, CellAttention, slopes
from sklab.analysis.attention.trends import Verdict
from sklab.report.escape import clean
from sklab.report.words.phrases import listed
from sklab.system.terminal import quantity

_NAMED = 3  # cells in the sentence


def attention_trend(results: AttentionResults) -> str:
    """The number of units of each cell in which attention turns to the larger kernel as objects grow; "" where none was
    recorded."""
    cells = [text for cell in results.cells if (text := _cell_text(cell))]
    more = f"; {quantity(len(cells) - _NAMED, 'more cell')} not named here" if len(cells) > _NAMED else ""
    return f"As objects grow, attention turns to the larger kernel {'; '.join(cells[:_NAMED])}{more}." if cells else ""


def _cell_text(cell: CellAttention) -> str:
    trends, _ = slopes(cell)
    by_verdict = {
        verdict: [trend.unit for trend in trends if trend.verdict == verdict] for verdict in get_args(Verdict)
    }
    rising, flat = by_verdict["rises"], by_verdict["flat"]
    if not trends:
        return ""
    if not rising:
        return f"in none of the {quantity(len(trends), 'unit')} of {clean(cell.cell)}"
    flat_units = f" (flat in {listed(flat)})" if flat else ""
    return f"in {len(rising)} of the {quantity(len(trends), 'unit')} of {clean(cell.cell)}{flat_units}"
