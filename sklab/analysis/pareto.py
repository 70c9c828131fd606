"""Cost against error when the errors are means over a few seeds: which cells are dominated beyond chance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sklab.analysis import stats
from sklab.analysis.compare import all_pairs


def dominated_by(values: npt.ArrayLike, costs: npt.ArrayLike) -> tuple[tuple[int, ...], ...]:
    """For each row of `values` (cells, seeds; lower is better) the rows that dominate it; none: on the Pareto set.

    A row dominates another when its cost (cells; taken as exact) is no higher and its error is told apart as lower: the
    two-sided p of the difference, Holm-adjusted over all pairs, is below 0.05. A row without run or cost takes no part.
    """
    mean, p = all_pairs(values)
    price = np.asarray(costs, dtype=np.float64)
    p = np.where(np.isnan(price[:, None] + price), np.nan, p)
    upper = np.triu_indices(len(price), 1)
    adjusted = np.full_like(p, np.nan)
    adjusted[upper] = stats.holm(p[upper])
    adjusted = np.fmax(adjusted, adjusted.T)
    worse = (mean > 0) & (adjusted < stats.ALPHA) & (price[:, None] >= price)
    return tuple(tuple(map(int, np.flatnonzero(row))) for row in worse)
