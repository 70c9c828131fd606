"""Our rows beside the published figures: whether they reproduce them, and whether both put cells in the same order."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal

from sklab.analysis.statistics.intervals import RankAgreement, Verdict, rank_agreement, verdict
from sklab.analysis.table.rows import Row
from sklab.spec.study.metrics import TOP1_ERROR
from sklab.spec.study.sweep import Sweep

Reproduced = Verdict | Literal[""]


def row_reproduced(sweep: Sweep, row: Row) -> Reproduced:
    """The verdict on the published error of a row; "" where the sweep asks for none."""
    return reproduced(sweep, row.name, row.mean, row.half)


def published_sizes(sweep: Sweep) -> tuple[int, ...]:
    """The further sizes for which the sweep has a published error."""
    rows = sweep.published.rows.values() if sweep.published else ()
    return tuple(sorted({size for row in rows for size in row.errors}))


def data_title(sweep: Sweep) -> str:
    """The title of the data; without a title, the name of their kind."""
    data = sweep.experiment.get("data", {})
    return str(data.get("title") or data.get("name", "data of its own"))


def on_published_data(sweep: Sweep) -> bool:
    """Whether the study is on the data that the published figures were measured on."""
    return sweep.published is not None and _letters(data_title(sweep)) in _letters(sweep.published.data)


def asks_for_verdict(sweep: Sweep) -> bool:
    """Whether a tolerance is stated and ours are errors on the data of the published figures."""
    stated = sweep.published is not None and sweep.published.tolerance is not None
    return stated and sweep.metric.name == TOP1_ERROR and on_published_data(sweep)


def reproduced(sweep: Sweep, cell: str, mean: float | None, half: float | None) -> Reproduced:
    """The verdict on the published error of `cell`, given our mean and half width of its 95 % interval.

    "" where there is no tolerance, no published figure or no run, and on other data.
    """
    figure = sweep.published.rows.get(cell) if sweep.published else None
    if figure is None or mean is None or not asks_for_verdict(sweep):
        return ""
    tolerance = (sweep.published and sweep.published.tolerance) or math.nan
    return verdict(mean - figure.error, math.nan if half is None else half, tolerance)


def order_agreement(sweep: Sweep, means: Mapping[str, float | None]) -> RankAgreement:
    """Kendall's tau between our means, by cell, and the published errors of the same cells, both from the best on."""
    rows = sweep.published.rows if sweep.published else {}
    sign = sweep.metric.measure.sign
    pairs = [(sign * ours, rows[cell].error) for cell, ours in means.items() if ours is not None and cell in rows]
    ours, theirs = zip(*pairs, strict=True) if pairs else ((), ())
    return rank_agreement(ours, theirs)


def _letters(text: str) -> str:
    return re.sub("[^a-z0-9]", "", text.lower())
