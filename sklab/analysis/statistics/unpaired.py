"""Runs of the baseline with seeds that no other cell has.

The fit of `blocks` can't use them: the effect of such a seed is known from nothing else. Where seeds make no difference
they are more runs of the baseline all the same, and the table is a one-way layout,

    value = cell + error

in which the variance of a difference is the sum of

    the baseline's   from all its runs, with runs - 1 degrees of freedom
    the cell's       pooled within all other cells and moderated by its own, as in `blocks`, but without seeds as blocks

So the further runs count unless the F test of the seeds that the cells share has p below DIFFER. Where seeds do differ,
that test often misses it with few seeds; the differences within cells are then larger by the seeds' part, the baseline
varies with all its seeds, and the intervals are rather too wide. A weight by the estimated variance of seeds is not
used: that variance is known too badly.

Tables are arrays (..., cells, seeds), NaN for a run that is not there, and further runs arrays (..., runs).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from scipy.special import fdtrc

from sklab.analysis.statistics import blocks
from sklab.analysis.statistics.intervals import FloatArray, IntArray, rounding_variance
from sklab.analysis.statistics.planning import Growth

DIFFER = 0.05  # of the p of the seeds' F test
FEWEST_SEEDS = 3  # that the cells share; the F test of two says next to nothing
FEWEST_DF = 8  # of the variance within the other cells: with fewer, too many studies claim falsely


@dataclass(frozen=True)
class Further:
    """What became of the baseline's further runs.

    runs  the number of them
    p     of the F test that the shared seeds make no difference; NaN where it was not made
    why   why they do not count, a clause; "" where they do
    """

    runs: int
    p: float
    why: str = ""

    @property
    def counts(self) -> bool:
        """Whether they are part of the comparisons."""
        return not self.why


@dataclass(frozen=True)
class Errors(blocks.Errors):
    """As in `blocks`, in a one-way layout; `n` are each row's own runs.

    spread      the variances of which the errors are the sums
    baseline_n  (...): runs of the baseline
    """

    spread: blocks.Spread
    baseline_n: IntArray
    test: ClassVar[Literal["block", "one-way"]] = "one-way"

    def seed_sd(self, row: int) -> float:
        """The standard deviation of the difference of one run of `row` and one of the baseline, in one table."""
        return float(np.sqrt(self.spread.shared + self.spread.cells[row]))

    def growth(self, row: int) -> Growth:
        """What the comparison of `row` in one table becomes with more seeds of all cells; the baseline keeps its runs
        while it has more."""

        def noncentrality(seeds: int) -> float:
            of_baseline = float(self.spread.shared) / max(int(self.baseline_n), seeds)
            return abs(float(self.difference[row])) / float(np.sqrt(of_baseline + self.spread.cells[row] / seeds))

        def df(seeds: int) -> float:
            return float(planned(self.spread, max(int(self.baseline_n), seeds), seeds)[1])

        return Growth(noncentrality, df)


def split(values: FloatArray, baseline: int) -> tuple[FloatArray, FloatArray]:
    """`values` (cells, seeds) at the seeds with which any other cell has a run, and the further runs of `baseline`."""
    shared = (~np.isnan(np.delete(values, baseline, 0))).any(0)
    alone = values[baseline, ~shared]
    return values[:, shared], alone[~np.isnan(alone)]


def seeds_p(values: FloatArray) -> FloatArray:
    """(...): p of the F test that the seeds of `values` (..., cells, seeds) make no difference."""
    fitted, df = blocks.fit(values), values.shape[-1] - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(fdtrc(df, fitted.df, fitted.seed_squares / df / fitted.variance))


def judge(values: FloatArray, baseline: int, runs: int) -> Further:
    """Whether `runs` further runs of the baseline count beside `values`, one table that may be pooled."""
    others = np.delete(values, baseline, 0)
    df = int(np.maximum((~np.isnan(others)).sum(-1) - 1, 0).sum())
    if values.shape[-1] < FEWEST_SEEDS:
        return Further(runs, np.nan, f"the cells share fewer than {FEWEST_SEEDS} seeds")
    if df < FEWEST_DF:
        return Further(runs, np.nan, f"the other cells have only {df} runs beyond their first, of {FEWEST_DF} needed")
    p = float(seeds_p(values))
    return Further(runs, p, "" if p >= DIFFER else "seeds differ")


def standard_errors(values: FloatArray, baseline: int, further: FloatArray, *, apart: bool = False) -> Errors:
    """The standard errors of the differences of `values` (..., cells, seeds) from row `baseline`, which has `further`
    runs; all runs are independent. `apart` as in `blocks.standard_errors`."""
    others = np.arange(values.shape[-2]) != baseline
    n, mean, squares = _within(values)
    of_baseline = _within(np.concatenate([values[..., baseline, :], further], -1))
    n[..., baseline], mean[..., baseline] = of_baseline[:2]
    spread = _spread(n, squares, of_baseline[2], baseline, apart)
    with np.errstate(invalid="ignore", divide="ignore"):
        of_shared, of_cells = 1 / n[..., [baseline]], 1 / n
        variance = spread.shared[..., None] * of_shared + spread.cells * of_cells
        tested = others & (n > 1) & (n[..., [baseline]] > 1) & (variance > rounding_variance(values))
        weights = (np.where(tested, weight, 0).sum(-1) for weight in (of_shared, of_cells))
        share, df = spread.share_and_df(*weights)
    error = np.where(tested, np.sqrt(variance), np.nan)
    difference = mean - mean[..., [baseline]]
    return Errors(n, difference, error, df, np.fmin(share, blocks.CLOSEST), spread, n[..., baseline])


def planned(spread: blocks.Spread, baseline_n: int, seeds: int) -> tuple[FloatArray, FloatArray]:
    """The correlation and the degrees of freedom (...) of a table with these variances, `baseline_n` runs of the
    baseline and `seeds` of every other cell."""
    own, shared = np.asarray(seeds - 1.0), np.asarray(baseline_n - 1.0)
    then = replace(spread, shared_df=shared, common_df=spread.common_df / spread.own_df * own, own_df=own)
    share, df = then.share_and_df(np.asarray(1 / baseline_n), np.asarray(1 / seeds))
    return np.fmin(share, blocks.CLOSEST), df


def _within(values: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
    """Number, mean and squared deviations of the runs along the last axis."""
    n = (~np.isnan(values)).sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.asarray(np.nansum(values, -1) / n)
    return n, mean, np.asarray(np.nansum((values - mean[..., None]) ** 2, -1))


def _spread(n: IntArray, squares: FloatArray, own: FloatArray, baseline: int, apart: bool) -> blocks.Spread:
    """The variances of the rows with `n` runs and `squares`; `own` are the squares of all runs of the baseline."""
    others = np.arange(n.shape[-1]) != baseline
    more, runs = np.maximum(n[..., others] - 1, 0), n[..., baseline]
    common = squares[..., others].sum(-1) / np.maximum(more.sum(-1), 1)
    cells = np.zeros(n.shape)
    cells[..., others] = blocks.moderated(common[..., None], squares[..., others], more)
    least = blocks.least_variance(runs, common, apart)
    shared = np.maximum(own / np.where(runs > 1, runs - 1, np.nan), least)
    df = np.asarray(more.sum(-1), dtype=np.float64)
    return blocks.Spread(shared, cells, common, np.asarray(runs - 1.0), df, df / more.shape[-1])
