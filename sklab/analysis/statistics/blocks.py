"""The randomised block design: cells are run with the same seeds, and the seed is the block.

    value = cell + seed + error

The effect of a seed on all cells drops out of differences. The spread of the errors is estimated from all cells, with
(cells - 1)(seeds - 1) degrees of freedom; one pair of cells alone has seeds - 1. Where runs are missing, the model is
fitted by least squares to the others (intra-block analysis); each difference has the variance that its gaps give it.

Few seeds cannot show whether one cell is noisier than the rest, and a noisy baseline would spoil every comparison at
once. So the variance of a difference is the sum of two (measured in benchmarks/statistics.md):

    the baseline's   estimated from the baseline against the other cells
    the cell's       that of all other cells, moderated by the cell's own: the common one has the weight of PRIOR
                     degrees of freedom, the cell's own that of seeds - 1

Degrees of freedom are Satterthwaite's, with the baseline's share corrected for its bias. That share is also the
correlation of two differences.

Tables are arrays (..., cells, seeds), NaN for a run that is not there; leading axes are independent studies.
Sources: R. A. Fisher, The Design of Experiments, 1935; F. Yates, Incomplete randomized blocks, Annals of Eugenics 7
(1936), 121-140; F. E. Satterthwaite, An approximate distribution of estimates of variance components, Biometrics
Bulletin 2 (1946), 110-114; G. K. Smyth, Linear models and empirical Bayes methods for assessing differential expression
in microarray experiments, Statistical Applications in Genetics and Molecular Biology 3 (2004), article 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from sklab.analysis.statistics import dunnett
from sklab.analysis.statistics.intervals import LEVEL, FloatArray, IntArray, rounding_variance
from sklab.analysis.statistics.planning import Growth, grown

PRIOR = 4  # degrees of freedom: the weight of the common variance beside a cell's own
CLOSEST = 0.99  # the largest correlation of two differences: a share can be rounded to 1, which has no distribution
QUIETEST = 0.25  # of the others' variance: the least variance that a baseline of two runs is given


@dataclass(frozen=True)
class Fit:
    """The additive fit.

    seed_effects   (..., seeds): the effects of the seeds, up to a constant
    inverse        (..., seeds, seeds): of the seeds' normal equations, from which the cells are eliminated
    seed_squares   (...): the part of the squares within cells that the seeds' effects explain
    squares        (..., cells): squared residuals, summed over each cell's runs
    df             (...): degrees of freedom of all `squares` together; 0 where the spread can't be estimated
    """

    seed_effects: FloatArray
    inverse: FloatArray
    seed_squares: FloatArray
    squares: FloatArray
    df: IntArray

    @property
    def variance(self) -> FloatArray:
        """(...): the variance of one run; NaN without degrees of freedom."""
        return np.asarray(self.squares.sum(-1) / np.where(self.df > 0, self.df, np.nan))


@dataclass(frozen=True)
class Errors:
    """Differences from the baseline (..., cells) and their standard errors.

    n             seeds shared with the baseline
    df            (...): degrees of freedom of the errors, rounded down to a tenth
    correlation   (...): of two differences, below 1

    The error is NaN for the baseline itself, where either side has fewer than two runs, where they share no seed, and
    where there is no spread. Only those runs of the baseline count whose seed another cell has too.
    """

    n: IntArray
    difference: FloatArray
    error: FloatArray
    df: FloatArray
    correlation: FloatArray
    test: ClassVar[Literal["block", "one-way"]] = "block"

    @property
    def comparisons(self) -> IntArray:
        """(...): the number of differences that have an error."""
        return np.asarray((~np.isnan(self.error)).sum(-1))

    def seed_sd(self, row: int) -> float:
        """The standard deviation of one seed's difference of `row`, in one table."""
        # A cell may share one seed only and be compared by way of the others.
        return float(self.error[row]) * float(np.sqrt(max(int(self.n[row]), 2)))

    def growth(self, row: int) -> Growth:
        """What the comparison of `row` in one table becomes with more seeds of all cells."""
        return grown(float(self.difference[row]), self.seed_sd(row), max(int(self.n[row]), 2), float(self.df))


@dataclass(frozen=True)
class Spread:
    """The two variances of which an error is the sum: one that all rows share, and one of each cell's runs.

    shared          (...): of the baseline's runs for differences from it, of the seeds for single means
    cells           (..., cells): of one run of each cell, moderated by the cell's own runs
    common          (...): of one run, the same for all cells
    shared_df       (...): degrees of freedom of `shared`
    common_df       (...): degrees of freedom of `common`
    own_df          (...): degrees of freedom of one cell's own variance, in the mean over the cells
    """

    shared: FloatArray
    cells: FloatArray
    common: FloatArray
    shared_df: FloatArray
    common_df: FloatArray
    own_df: FloatArray

    def share_and_df(self, of_shared: FloatArray, of_cells: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The share of `shared` in the whole variance, and the degrees of freedom of the whole (Satterthwaite).

        The whole is `of_shared` times `shared` plus `of_cells` times `common`. A share estimated with few degrees of
        freedom is too small by 2 share^2 (1 - share) / df (second order of the ratio), which is added.
        """
        shared, common = self.shared * of_shared, self.common * of_cells
        share = shared / (shared + common)
        share = np.minimum(share + 2 * share**2 * (1 - share) / self.shared_df, 1)
        share = np.round(share, 2)  # to a hundredth: few distinct t to look for
        weight = self.own_df / (PRIOR + self.own_df)  # a cell's own variance is a part of the common one
        of_cell = (1 - weight**2) / np.maximum(self.common_df, 1) + weight / (PRIOR + self.own_df)
        return share, np.floor(10 / (share**2 / self.shared_df + (1 - share) ** 2 * of_cell)) / 10


def fit(values: FloatArray) -> Fit:
    """The fit by least squares. The cells are eliminated, so that the system has only as many unknowns as seeds."""
    there = (~np.isnan(values)).astype(float)
    n = np.maximum(there.sum(-1, keepdims=True), 1)
    centred = np.nan_to_num(values)
    centred = there * (centred - centred.sum(-1, keepdims=True) / n)
    system = there.sum(-2)[..., None] * np.eye(values.shape[-1]) - np.swapaxes(there, -1, -2) @ (there / n)
    inverse = np.linalg.pinv(system, hermitian=True)
    seed_effects = (inverse @ centred.sum(-2)[..., None])[..., 0]
    residuals = centred - there * (seed_effects[..., None, :] - (there @ seed_effects[..., None]) / n)
    used = there.any(-1).sum(-1) + there.any(-2).sum(-1)
    df = np.maximum(there.sum((-1, -2)) - used + 1, 0).astype(int)
    return Fit(seed_effects, inverse, (seed_effects * centred.sum(-2)).sum(-1), (residuals**2).sum(-1), df)


def standard_errors(values: FloatArray, baseline: int, *, apart: bool = False) -> Errors:
    """The standard errors of the differences of `values` (..., cells, seeds) from row `baseline`.

    apart   whether noisier cells were taken out of the table. A baseline of few runs then often looks quiet by chance,
            so one of three runs or fewer is given at least the variance of the others
    """
    whole, there = fit(values), ~np.isnan(values)
    n = (there & there[..., [baseline], :]).sum(-1)
    among_others = (there[..., [baseline], :] & (there.sum(-2, keepdims=True) > 1)).sum(-1)
    tested = (there.sum(-1) > 1) & (n > 0) & (np.arange(values.shape[-2]) != baseline) & (among_others > 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        weights = _weights(whole, there.astype(float), baseline)
        spread = _spread(values, baseline, apart)
        parts = spread.shared[..., None] * weights[0], spread.cells * weights[1]
        tested &= sum(parts) > rounding_variance(values)
        error = np.where(tested, np.sqrt(sum(parts)), np.nan)
        share, df = spread.share_and_df(*(np.nansum(np.where(tested, weight, 0), -1) for weight in weights))
        level = np.nansum(values - np.where(there, whole.seed_effects[..., None, :], np.nan), -1) / there.sum(-1)
    return Errors(n, level - level[..., [baseline]], error, df, np.fmin(share, CLOSEST))


def half_widths(errors: Errors, level: float = LEVEL) -> FloatArray:
    """Half widths (..., cells) of simultaneous intervals, with Dunnett's t."""
    critical = dunnett.criticals(errors.comparisons, errors.df, errors.correlation, level)
    return np.asarray(critical[..., None] * errors.error)


def p_values(errors: Errors) -> FloatArray:
    """Two-sided p (cells) of one table, adjusted for all its comparisons."""
    t, family = errors.difference / errors.error, int(errors.comparisons)
    return dunnett.exceedance(t, family, float(errors.df), float(errors.correlation))


def single_p(errors: Errors) -> FloatArray:
    """Two-sided p (..., cells) of the differences one by one."""
    return np.asarray(2 * stdtr(errors.df[..., None], -np.abs(errors.difference / errors.error)))


def mean_halves(values: FloatArray, level: float = LEVEL) -> FloatArray:
    """Half widths (..., cells) of intervals of the cells' own means, over new seeds; NaN for a cell without runs.

    A mean over new seeds varies with the seeds and with the error. The variance of one run is (S + (cells - 1) E) /
    cells, where S and E are the mean squares of seeds and of errors, E moderated by the cell's own. Where runs are
    missing, the number of runs per seed beyond the cells' means takes the place of the number of cells.
    """
    whole, n = fit(values), (~np.isnan(values)).sum(-1)
    more, seeds = np.maximum(n - 1, 0), (~np.isnan(values)).any(-2).sum(-1) - 1.0
    in_seeds = seeds / more.sum(-1)
    squares = whole.squares * (more.sum(-1) / whole.df)[..., None]
    cells = moderated(whole.variance[..., None], squares, more)
    spread = Spread(whole.seed_squares / seeds, cells, whole.variance, seeds, whole.df.astype(float), more.mean(-1))
    _, df = spread.share_and_df(in_seeds, 1 - in_seeds)
    variance = (spread.shared * in_seeds)[..., None] + cells * (1 - in_seeds)[..., None]
    return np.asarray(stdtrit(df, 0.5 + level / 2)[..., None] * np.sqrt(variance / np.where(n, n, np.nan)))


def _weights(fitted: Fit, there: FloatArray, baseline: int) -> tuple[FloatArray, FloatArray]:
    """The weights of the variance of the baseline's runs and of that of the cell's runs in the variance of each
    difference, both (..., cells).

    The level of a cell is its mean minus the mean effect of its seeds. The difference of two levels varies with the
    runs of both and with the errors of the seeds' effects, which are estimated from all runs.
    """
    n = there.sum(-1)
    seeds = there / np.maximum(n, 1)[..., None]
    at_baseline, of_baseline = seeds[..., [baseline], :], n[..., [baseline]]
    off = (seeds - at_baseline) @ fitted.inverse
    variance = 1 / of_baseline + 1 / n + ((seeds - at_baseline) * off).sum(-1)
    of_runs = 1 / of_baseline[..., None] + off - (off * at_baseline).sum(-1, keepdims=True)
    weight = ((there[..., [baseline], :] * of_runs) ** 2).sum(-1)
    return weight, np.maximum(variance - weight, 0)


def _spread(values: FloatArray, baseline: int, apart: bool) -> Spread:
    """The two variances of the differences from the baseline.

    The baseline's own is estimated from its contrast with the other cells: its runs minus the effects that the seeds
    have on the others. This contains a part of the others' variance (one over their number), which makes it larger and
    so errs on the safe side. With two cells it contains all of it and is the variance of the whole difference. Two runs
    are often nearly equal by chance, so a baseline of two has at least QUIETEST of the others' variance.
    """
    others = np.arange(values.shape[-2]) != baseline
    rest, there = fit(values[..., others, :]), ~np.isnan(values[..., others, :])
    contrasts = np.where(there.any(-2), values[..., baseline, :] - rest.seed_effects, np.nan)
    n = (~np.isnan(contrasts)).sum(-1)
    squares = np.nansum((contrasts - (np.nansum(contrasts, -1) / n)[..., None]) ** 2, -1)
    own = squares / np.where(n > 1, n - 1, np.nan)
    more = np.maximum(there.sum(-1) - 1, 0)  # of a cell's runs, beyond its mean
    common, squares = np.nan_to_num(rest.variance), rest.squares * (more.sum(-1) / np.maximum(rest.df, 1))[..., None]
    cells = np.zeros(values.shape[:-1])
    cells[..., others] = moderated(common[..., None], np.where(rest.df[..., None] > 0, squares, 0), more)
    shared = np.maximum(own, least_variance(n, common, apart))
    return Spread(shared, cells, common, n - 1.0, rest.df.astype(float), more.mean(-1))


def least_variance(runs: IntArray, common: FloatArray, apart: bool) -> FloatArray:
    """(...): the least variance that a baseline of so many `runs` is given, where the others' is `common`."""
    return np.where(runs > 3, 0, common) if apart else np.where(runs > 2, 0, QUIETEST * common)


def moderated(common: FloatArray, squares: FloatArray, df: FloatArray) -> FloatArray:
    """The variance of a cell with these `squares` and `df` of its own, drawn to the `common` one; all broadcast."""
    return np.asarray((PRIOR * common + squares) / (PRIOR + df))
