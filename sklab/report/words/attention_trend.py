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
    """In how many of the units of each cell attention turns to the larger kernel as objects grow, and in how many
    that is undecided; "" where none was recorded."""
    cells = [text for cell in results.cells if (text := _cell_text(cell))]
    more = f"; {quantity(len(cells) - _NAMED, 'more cell')} not named here" if len(cells) > _NAMED else ""
    return (
        f"As objects grow, attention turns to the larger kernel in {'; in '.join(cells[:_NAMED])}{more}."
        if cells
        else ""
    )


def _cell_text(cell: CellAttention) -> str:
    trends, _ = slopes(cell)
    if not trends:
        return ""
    by_verdict = {
        verdict: [trend.unit for trend in trends if trend.verdict == verdict] for verdict in get_args(Verdict)
    }
    rising, flat, open_ = len(by_verdict["rises"]), by_verdict["flat"], len(by_verdict["cannot tell"])
    told = [f"{open_} undecided"] if open_ else []
    told += [f"flat in {listed(flat)}"] if flat else []
    of = f"{rising or 'none'} of the {quantity(len(trends), 'unit')} of {clean(cell.cell)}"
    return f"{of} ({'; '.join(told)})" if told else of
