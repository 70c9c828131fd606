"""Cost against error when the errors are means over a few seeds: which cells are dominated beyond chance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sklab.analysis.statistics import intervals
from sklab.analysis.statistics.compare import all_pairs
from sklab.analysis.statistics.intervals import BoolArray

COSTS = ("params", "macs", "latency_ms")


def pareto_front(errors: npt.ArrayLike, costs: npt.ArrayLike) -> tuple[int, ...]:
    """The cells on the Pareto set of error and cost (cells, both; NaN: takes no part), taken as exact; the cheapest
    first, of cells that are the same in both the first."""
    error, price = np.asarray(errors, dtype=np.float64), np.asarray(costs, dtype=np.float64)
    lowest, found = np.inf, []
    for at in np.lexsort((error, price)):
        if error[at] < lowest and not np.isnan(price[at]):
            lowest = error[at]
            found.append(int(at))
    return tuple(found)


def significantly_higher(values: npt.ArrayLike) -> BoolArray:
    """Whether row i of `values` (cells, seeds) is told apart from row j as higher, for all i and j.

    The two-sided p of the difference, Holm-adjusted over all pairs, is below 0.05.
    """
    mean, p = all_pairs(values)
    upper = np.triu_indices(len(p), 1)
    adjusted = np.full_like(p, np.nan)
    adjusted[upper] = intervals.holm(p[upper])
    adjusted = np.fmax(adjusted, adjusted.T)
    return np.asarray((mean > 0) & (adjusted < intervals.ALPHA))


def dominated_by(higher: BoolArray, costs: npt.ArrayLike) -> tuple[tuple[int, ...], ...]:
    """For each cell the cells that dominate it; a cell that none dominates is on the Pareto set of error and cost.

    A cell dominates another when its cost (cells; taken as exact; NaN: takes no part) is no higher and its error is
    told apart as lower (`higher`, as from significantly_higher).
    """
    price = np.asarray(costs, dtype=np.float64)
    worse = higher & (price[:, None] >= price)
    return tuple(tuple(map(int, np.flatnonzero(row))) for row in worse)
