"""The randomised block design: cells are run with the same seeds, and the seed is the block.

    value = cell + seed + error

What a seed does to all cells alike drops out, and the spread of the errors is estimated from all cells together:
(cells - 1)(seeds - 1) degrees of freedom where one pair of cells has seeds - 1. Where runs are missing the model is
fitted by least squares to those that are there (the intra-block analysis), and each difference has the variance that
its own gaps leave it.

Few seeds cannot show whether one cell is noisier than the rest, and a noisy baseline would spoil every comparison at
once. So the variance of a difference is the sum of two (measured in docs/validation.md):

    the baseline's   its own: of the baseline against the other cells
    the cell's       that of all other cells together, moderated by the cell's own: the common one counts for PRIOR
                     degrees of freedom, its own for seeds - 1

Degrees of freedom are Satterthwaite's, with the baseline's share corrected for its bias; that share is also how far two
differences go together.

Tables are arrays (..., cells, seeds), NaN for a run that is not there; leading axes are independent studies.
Sources: R. A. Fisher, The Design of Experiments, 1935; F. Yates, Incomplete randomized blocks, Annals of Eugenics 7
(1936), 121-140; F. E. Satterthwaite, An approximate distribution of estimates of variance components, Biometrics
Bulletin 2 (1946), 110-114; G. K. Smyth, Linear models and empirical Bayes methods for assessing differential expression
in microarray experiments, Statistical Applications in Genetics and Molecular Biology 3 (2004), article 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from sklab.analysis.statistics import dunnett
from sklab.analysis.statistics.intervals import LEVEL, FloatArray, IntArray, rounding_variance

PRIOR = 4  # degrees of freedom that the common variance counts for beside a cell's own
CLOSEST = 0.99  # correlation of two differences: at 1, where a share can be rounded to, there is no distribution left
QUIETEST = 0.25  # of the others' variance: the least that a baseline of two runs is taken to have


@dataclass(frozen=True)
class Fit:
    """The additive fit.

    of_seed        effects of the seeds (..., seeds), up to a constant
    inverse        (..., seeds, seeds), of the seeds' normal equations with the cells eliminated
    seed_squares   (...): what the seeds' effects take from the squares within cells
    squares        of what is left after cells and seeds, summed over a cell's runs (..., cells)
    df             (...): degrees of freedom of all `squares` together; 0 where nothing tells of the spread
    """

    of_seed: FloatArray
    inverse: FloatArray
    seed_squares: FloatArray
    squares: FloatArray
    df: IntArray

    @property
    def variance(self) -> FloatArray:
        """(...): of one run; NaN without degrees of freedom."""
        return np.asarray(self.squares.sum(-1) / np.where(self.df > 0, self.df, np.nan))


@dataclass(frozen=True)
class Errors:
    """Differences from the baseline (..., cells) and their standard errors.

    n             seeds shared with the baseline
    df            (...): degrees of freedom of the errors, rounded down to a tenth
    correlation   (...): of two differences, below 1

    There is no error (NaN) on the baseline's own place, and where either has fewer than two runs, where no seed is
    shared and where nothing spreads. Of the baseline's runs those count whose seed any other cell has.
    """

    n: IntArray
    difference: FloatArray
    error: FloatArray
    df: FloatArray
    correlation: FloatArray

    @property
    def comparisons(self) -> IntArray:
        """(...): how many differences have an error."""
        return np.asarray((~np.isnan(self.error)).sum(-1))


@dataclass(frozen=True)
class _Spread:
    """The two variances that an error is made of: one that all rows share, and one of each cell's runs.

    shared          (...): of the baseline's runs where cells are compared with it, of the seeds for single means
    cells           (..., cells): of one run of each cell, moderated by the cell's own runs
    common          (...): of one run, the same for all cells
    shared_df, common_df
                    (...): degrees of freedom behind `shared` and `common`
    own_df          (...): those that the runs of one cell alone give, in the mean over the cells
    """

    shared: FloatArray
    cells: FloatArray
    common: FloatArray
    shared_df: FloatArray
    common_df: FloatArray
    own_df: FloatArray

    def share_and_df(self, of_shared: FloatArray, of_cells: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The share of `shared` in the whole variance, and the degrees of freedom of the whole (Satterthwaite).

        The whole is `of_shared` times `shared` plus `of_cells` times `common`. A share that is estimated from a
        variance of few degrees of freedom is too small by 2 share^2 (1 - share) / df (second order of the ratio), which
        is added.
        """
        shared, common = self.shared * of_shared, self.common * of_cells
        share = shared / (shared + common)
        share = np.minimum(share + 2 * share**2 * (1 - share) / self.shared_df, 1)
        share = np.round(share, 2)  # to a hundredth: few distinct t to look for
        weight = self.own_df / (PRIOR + self.own_df)  # a cell's own variance is a part of the common one
        of_cell = (1 - weight**2) / np.maximum(self.common_df, 1) + weight / (PRIOR + self.own_df)
        return share, np.floor(10 / (share**2 / self.shared_df + (1 - share) ** 2 * of_cell)) / 10


def fit(values: FloatArray) -> Fit:
    """Least squares for cells and seeds. The cells are eliminated, which leaves a system as large as the seeds."""
    there = (~np.isnan(values)).astype(float)
    n = np.maximum(there.sum(-1, keepdims=True), 1)
    centred = np.nan_to_num(values)
    centred = there * (centred - centred.sum(-1, keepdims=True) / n)
    system = there.sum(-2)[..., None] * np.eye(values.shape[-1]) - np.swapaxes(there, -1, -2) @ (there / n)
    inverse = np.linalg.pinv(system, hermitian=True)
    of_seed = (inverse @ centred.sum(-2)[..., None])[..., 0]
    left = centred - there * (of_seed[..., None, :] - (there @ of_seed[..., None]) / n)
    used = there.any(-1).sum(-1) + there.any(-2).sum(-1)
    df = np.maximum(there.sum((-1, -2)) - used + 1, 0).astype(int)
    return Fit(of_seed, inverse, (of_seed * centred.sum(-2)).sum(-1), (left**2).sum(-1), df)


def standard_errors(values: FloatArray, baseline: int, *, apart: bool = False) -> Errors:
    """The standard errors of the differences of `values` (..., cells, seeds) from row `baseline`.

    apart   whether noisier cells were taken out of the table. Where they stood out, a baseline of few runs often looks
            quiet by chance: one of three runs or fewer is then taken to have at least the others' variance
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
        level = np.nansum(values - np.where(there, whole.of_seed[..., None, :], np.nan), -1) / there.sum(-1)
    correlation = np.fmin(share, CLOSEST)
    return Errors(n, level - level[..., [baseline]], error, df, correlation)


def half_widths(errors: Errors, level: float = LEVEL) -> FloatArray:
    """Half widths (..., cells) of simultaneous intervals, with Dunnett's t."""
    return np.asarray(_criticals(errors, level)[..., None] * errors.error)


def p_values(errors: Errors) -> FloatArray:
    """Two-sided p (cells) of one table, adjusted for all its comparisons."""
    family, df, correlation = int(errors.comparisons), float(errors.df), float(errors.correlation)
    return dunnett.exceedance(errors.difference / errors.error, family, df, correlation)


def single_p(errors: Errors) -> FloatArray:
    """Two-sided p (..., cells) of the differences one by one."""
    return np.asarray(2 * stdtr(errors.df[..., None], -np.abs(errors.difference / errors.error)))


def pairs_p(values: FloatArray) -> FloatArray:
    """p (cells, cells): `single_p` against each row (the first axis) of one table without gaps, at once."""
    (cells, seeds), whole = values.shape, fit(values)
    if cells == 2:
        return np.array([single_p(standard_errors(values, at)) for at in range(cells)])
    left = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    own, others = np.asarray(seeds - 1.0), np.asarray((cells - 2.0) * (seeds - 1))
    contrast = whole.squares * (cells / (cells - 1)) ** 2 / own
    common = np.maximum(whole.squares.sum() - whole.squares * cells / (cells - 1), 0) / others
    contrast = contrast if seeds > 2 else np.maximum(contrast, QUIETEST * common)
    squares = whole.squares + 2 * left @ left.T / (cells - 1) + whole.squares[:, None] / (cells - 1) ** 2
    of_cells = _moderated(common[:, None], squares * (cells - 1) / (cells - 2), own)
    _, df = _Spread(contrast, of_cells, common, own, others, own).share_and_df(own, own)
    apart = np.abs(values.mean(1) - values.mean(1)[:, None])
    return np.asarray(2 * stdtr(df[:, None], -apart / np.sqrt((contrast[:, None] + of_cells) / seeds)))


def mean_halves(values: FloatArray, level: float = LEVEL) -> FloatArray:
    """Half widths (..., cells) of intervals of the cells' own means, over new seeds; NaN for a cell without runs.

    A mean over new seeds varies with the seeds and with the error: the variance of one run is (seeds + (cells - 1)
    error) / cells of their mean squares, with the error moderated by the cell's own. Where runs are missing, the runs
    that a seed has beyond the cells' means stand for the number of cells.
    """
    whole, n = fit(values), (~np.isnan(values)).sum(-1)
    more, seeds = np.maximum(n - 1, 0), (~np.isnan(values)).any(-2).sum(-1) - 1.0
    in_seeds = seeds / more.sum(-1)
    squares = whole.squares * (more.sum(-1) / whole.df)[..., None]
    cells = _moderated(whole.variance[..., None], squares, more)
    spread = _Spread(whole.seed_squares / seeds, cells, whole.variance, seeds, whole.df.astype(float), more.mean(-1))
    _, df = spread.share_and_df(in_seeds, 1 - in_seeds)
    variance = (spread.shared * in_seeds)[..., None] + cells * (1 - in_seeds)[..., None]
    return np.asarray(stdtrit(df, 0.5 + level / 2)[..., None] * np.sqrt(variance / np.where(n, n, np.nan)))


def _weights(fitted: Fit, there: FloatArray, baseline: int) -> tuple[FloatArray, FloatArray]:
    """The weights of two variances, that of the baseline's runs and that of the cell's, in the variance of each
    difference (..., cells).

    A cell's level is its mean less the mean effect of its seeds. The difference of two levels varies with the
    baseline's runs, with the cell's runs, and with the error of the seeds' effects, which rest on all runs.
    """
    n = there.sum(-1)
    seeds = there / np.maximum(n, 1)[..., None]
    at_baseline, of_baseline = seeds[..., [baseline], :], n[..., [baseline]]
    off = (seeds - at_baseline) @ fitted.inverse
    variance = 1 / of_baseline + 1 / n + ((seeds - at_baseline) * off).sum(-1)
    of_runs = there[..., [baseline], :] * (
        1 / of_baseline[..., None] + off - (off * at_baseline).sum(-1, keepdims=True)
    )
    weight = (of_runs**2).sum(-1)
    return weight, np.maximum(variance - weight, 0)


def _spread(values: FloatArray, baseline: int, apart: bool) -> _Spread:
    """The baseline is judged by its contrast with the others: its runs less the seeds' effects as the others have them.

    That holds some of the others' variance too, one over their number, which is left in: it errs on the safe side.
    Where the others leave no degree of freedom (two cells), it holds all of it, and stands for the whole difference.
    Two runs are too often alike by chance: a baseline of two has at least QUIETEST of the others' variance.
    """
    others = np.arange(values.shape[-2]) != baseline
    rest, there = fit(values[..., others, :]), ~np.isnan(values[..., others, :])
    against = np.where(there.any(-2), values[..., baseline, :] - rest.of_seed, np.nan)
    n = (~np.isnan(against)).sum(-1)
    contrast = np.nansum((against - (np.nansum(against, -1) / n)[..., None]) ** 2, -1) / np.where(n > 1, n - 1, np.nan)
    more = np.maximum(there.sum(-1) - 1, 0)  # of a cell's runs, beyond its mean
    common, squares = np.nan_to_num(rest.variance), rest.squares * (more.sum(-1) / np.maximum(rest.df, 1))[..., None]
    cells = np.zeros(values.shape[:-1])
    cells[..., others] = _moderated(common[..., None], np.where(rest.df[..., None] > 0, squares, 0), more)
    least = np.where(n > 3, 0, common) if apart else np.where(n > 2, 0, QUIETEST * common)
    contrast = np.maximum(contrast, least)
    return _Spread(contrast, cells, common, n - 1.0, rest.df.astype(float), more.mean(-1))


def _moderated(common: FloatArray, squares: FloatArray, df: FloatArray) -> FloatArray:
    return np.asarray((PRIOR * common + squares) / (PRIOR + df))


def _criticals(errors: Errors, level: float) -> FloatArray:
    asked = np.stack(np.broadcast_arrays(errors.comparisons, errors.df, errors.correlation), -1)
    distinct, back = np.unique(asked.reshape(-1, 3), axis=0, return_inverse=True)
    criticals = [
        dunnett.critical(int(many), df, level, rho) if many and df > 0 else np.nan
        for many, df, rho in distinct.tolist()
    ]
    return np.array(criticals)[back].reshape(asked.shape[:-1])
