"""Cost against error when the errors are means over a few seeds: which cells are dominated beyond chance.

A cell dominates another when its cost is no higher and its error is told apart as lower. Counted costs are exact.
Measured ones (latency) vary between runs: there a cell dominates only cells whose cost is told apart as higher too.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import binom

from sklab.analysis.choice.pairs import all_pairs
from sklab.analysis.statistics import intervals
from sklab.analysis.statistics.intervals import BoolArray

EXACT = ("params", "macs")
COSTS = (*EXACT, "latency_ms")
SEVERALFOLD = 2  # runs of one network do the same arithmetic; beyond this factor the machine made the difference


def pareto_front(errors: npt.ArrayLike, costs: npt.ArrayLike) -> tuple[int, ...]:
    """The cells on the Pareto set of error and cost, both (cells) and taken as exact; a cell with NaN takes no part.
    The cheapest comes first; of cells with the same error and cost only the first counts."""
    error, price = np.asarray(errors, dtype=np.float64), np.asarray(costs, dtype=np.float64)
    lowest, front = np.inf, []
    for at in np.lexsort((error, price)):
        if error[at] < lowest and not np.isnan(price[at]):
            lowest = error[at]
            front.append(int(at))
    return tuple(front)


def significantly_higher(values: npt.ArrayLike) -> BoolArray:
    """[i, j]: whether row i of `values` (cells, seeds) is told apart from row j as higher.

    The two-sided p of the difference, Holm-adjusted over all pairs, is below 0.05.
    """
    mean, p = all_pairs(values)
    upper = np.triu_indices(len(p), 1)
    adjusted = np.full_like(p, np.nan)
    adjusted[upper] = intervals.holm(p[upper])
    adjusted = np.fmax(adjusted, adjusted.T)
    return np.asarray((mean > 0) & (adjusted < intervals.ALPHA))


def no_cheaper(costs: npt.ArrayLike) -> BoolArray:
    """[i, j]: whether row i costs at least as much as row j, by exact `costs` (cells); a row with NaN takes no part."""
    price = np.asarray(costs, dtype=np.float64)
    return np.asarray(price[:, None] >= price)


def ranges_above(lowest: npt.ArrayLike, highest: npt.ArrayLike, runs: npt.ArrayLike) -> BoolArray:
    """[i, j]: whether row i is told apart from row j as higher, by a measured cost: its `lowest` and `highest` value
    and the number of `runs` (all: cells).

    Every run of i lies above every run of j, and with this number of runs chance alone would separate the two in this
    way at most once in twenty times: three runs of each are enough, two are not. A row with NaN takes no part.
    """
    low, high, n = (np.asarray(column, dtype=np.float64) for column in (lowest, highest, runs))
    by_chance = 1 / binom(n[:, None] + n, n)  # one order of the runs, of all that are possible
    return np.asarray((low[:, None] > high) & (by_chance <= intervals.ALPHA))


def differ_severalfold(lowest: float, highest: float) -> bool:
    """Whether the runs of one network differ by so much that other work of the machine must be the reason."""
    return highest >= SEVERALFOLD * lowest


def dominated_by(higher: BoolArray, no_cheaper: BoolArray) -> tuple[tuple[int, ...], ...]:
    """For each cell the cells that dominate it; a cell that none dominates is on the Pareto set of error and cost.

    `higher` (from significantly_higher) says whose error is told apart as higher, `no_cheaper` (from no_cheaper or
    ranges_above) whose cost is not lower; both (cells, cells), row i against row j.
    """
    return tuple(tuple(map(int, np.flatnonzero(row))) for row in higher & no_cheaper)
