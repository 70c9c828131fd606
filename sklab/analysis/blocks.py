"""The randomised block design: cells are run with the same seeds, and the seed is the block.

    value = cell + seed + error

What a seed does to all cells alike drops out, and the spread of the errors is estimated from all cells together:
(cells - 1)(seeds - 1) degrees of freedom where one pair of cells has seeds - 1. Where runs are missing the model is
fitted by least squares to those that are there (the intra-block analysis), and each difference has the variance that
its own gaps leave it.

That estimate is exact when all cells have errors of equal variance. Few seeds cannot show whether they do, and a noisy
baseline would spoil every comparison at once, so the standard error of a difference is reckoned in three ways and the
widest interval is the one to state (measured in docs/statistics.md):

    equal      all cells share one variance
    baseline   the baseline has one of its own, the other cells share one (Satterthwaite's degrees of freedom)
    own        no less than the spread of this cell's own differences from the baseline, where it shares two seeds

Tables are arrays (..., cells, seeds), NaN for a run that is not there; leading axes are independent studies.
Sources: R. A. Fisher, The Design of Experiments, 1935; F. Yates, Incomplete randomized blocks, Annals of Eugenics 7
(1936), 121-140; F. E. Satterthwaite, An approximate distribution of estimates of variance components, Biometrics
Bulletin 2 (1946), 110-114.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from sklab.analysis import dunnett
from sklab.analysis.stats import LEVEL, ROUNDING, BoolArray, FloatArray, IntArray

Reckoning = Literal["equal", "baseline", "own"]
RECKONINGS: tuple[Reckoning, ...] = ("equal", "baseline", "own")


@dataclass(frozen=True)
class Fit:
    """The additive fit.

    of_seed   effects of the seeds (..., seeds), up to a constant
    inverse   (..., seeds, seeds), of the seeds' normal equations with the cells eliminated
    squares   of what is left after cells and seeds, summed over a cell's runs (..., cells)
    df        (...): degrees of freedom of all `squares` together; 0 where nothing tells of the spread
    """

    of_seed: FloatArray
    inverse: FloatArray
    squares: FloatArray
    df: IntArray

    @property
    def variance(self) -> FloatArray:
        """(...): of one run; NaN without degrees of freedom."""
        return np.asarray(self.squares.sum(-1) / np.where(self.df > 0, self.df, np.nan))


@dataclass(frozen=True)
class Errors:
    """Differences from the baseline (..., cells) and their standard errors, one array for each of RECKONINGS.

    n             seeds shared with the baseline
    df            (...): degrees of freedom that each reckoning is tested with
    correlation   (...): of two differences, in the mean over all pairs of them, by the fit; 1/2 without gaps

    There is no error (NaN) on the baseline's own place, and where either has fewer than two runs, where no seed is
    shared and where nothing spreads. Of the baseline's runs those count whose seed any other cell has.
    """

    n: IntArray
    difference: FloatArray
    error: dict[Reckoning, FloatArray]
    df: dict[Reckoning, FloatArray]
    correlation: FloatArray

    @property
    def comparisons(self) -> IntArray:
        """(...): how many differences have an error."""
        return np.asarray((~np.isnan(self.error["equal"])).sum(-1))


@dataclass(frozen=True)
class _Weights:
    """Of the differences, (..., cells): their variance in units of a run's, and the share of it that is the baseline's;
    and `correlation` as in Errors."""

    variance: FloatArray
    baseline: FloatArray
    correlation: FloatArray


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
    return Fit(of_seed, inverse, (left**2).sum(-1), df)


def standard_errors(values: FloatArray, baseline: int) -> Errors:
    """The three reckonings for `values` (..., cells, seeds) against row `baseline`."""
    whole, there = fit(values), ~np.isnan(values)
    apart = values - values[..., [baseline], :]
    n = (~np.isnan(apart)).sum(-1)
    among_others = (there[..., [baseline], :] & (there.sum(-2, keepdims=True) > 1)).sum(-1)
    tested = (there.sum(-1) > 1) & (n > 0) & (np.arange(values.shape[-2]) != baseline) & (among_others > 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        weights = _weights(whole, there.astype(float), baseline, tested)
        own = np.nansum((apart - np.nansum(apart, -1, keepdims=True) / n[..., None]) ** 2, -1)
        own = own / np.where(n > 1, n - 1, np.nan) * weights.variance / 2
        noisy, noisy_df = _baseline_apart(values, baseline, weights)
        variances = {"equal": whole.variance[..., None] * weights.variance, "baseline": noisy, "own": own}
        least = (ROUNDING * np.nanmax(np.abs(values), initial=0.0)) ** 2
        tested &= np.fmax.reduce([variances[name] for name in RECKONINGS]) > least
        error = {name: np.where(tested, np.sqrt(variances[name]), np.nan) for name in RECKONINGS}
        level = np.nansum(values - np.where(there, whole.of_seed[..., None, :], np.nan), -1) / there.sum(-1)
    df = np.where(whole.df > 0, whole.df, np.nan).astype(float)
    of_each: dict[Reckoning, FloatArray] = {"equal": df, "baseline": noisy_df, "own": df}
    return Errors(n, level - level[..., [baseline]], error, of_each, weights.correlation)


def half_widths(errors: Errors, level: float = LEVEL) -> dict[Reckoning, FloatArray]:
    """Half widths (..., cells) of simultaneous intervals after each of RECKONINGS, with Dunnett's t."""
    return {name: _criticals(errors, name, level)[..., None] * errors.error[name] for name in RECKONINGS}


def p_values(errors: Errors) -> FloatArray:
    """Two-sided p (cells) of one table, adjusted for all its comparisons: the largest over the three reckonings."""
    of_each = [
        dunnett.exceedance(_t(errors, name), int(errors.comparisons), float(errors.df[name]), float(errors.correlation))
        for name in RECKONINGS
    ]
    return np.asarray(np.fmax.reduce(of_each))


def single_p(errors: Errors) -> FloatArray:
    """Two-sided p (..., cells) of the differences one by one: the largest over the three reckonings."""
    alike = np.fmin(np.abs(_t(errors, "equal")), np.abs(_t(errors, "own")))  # tested with the same degrees of freedom
    apart = np.abs(_t(errors, "baseline"))
    equal, baseline = (errors.df[name][..., None] for name in ("equal", "baseline"))
    return np.asarray(2 * np.fmax(stdtr(equal, -alike), stdtr(baseline, -apart)))


def pairs_p(values: FloatArray) -> FloatArray:
    """p (cells, cells): `single_p` against each row (the first axis) of one table without gaps, at once."""
    cells, seeds = values.shape
    whole, n = fit(values), seeds - 1
    left = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    apart = np.abs(values.mean(1) - values.mean(1)[:, None]) * np.sqrt(seeds)
    own = (whole.squares[:, None] + whole.squares - 2 * left @ left.T) / n
    ours, df = whole.squares * cells / (cells - 1), max((cells - 2) * n, 1)
    contrast = ours * cells / (cells - 1) / n
    rest = np.maximum(whole.squares.sum() - ours, 0) / df * (cells - 2) / (cells - 1)
    of_baseline = np.floor((contrast + rest) ** 2 / (contrast**2 / n + rest**2 / df) * 10) / 10
    alike = stdtr(float(whole.df), -apart / np.sqrt(np.maximum(own, 2 * whole.variance)))
    return np.asarray(2 * np.fmax(alike, stdtr(of_baseline[:, None], -apart / np.sqrt(contrast + rest)[:, None])))


def single_half(errors: Errors, missing: FloatArray) -> FloatArray:
    """Half widths (..., cells) of intervals that miss the truth with probability `missing`: the widest of three."""
    of_each = [stdtrit(errors.df[name][..., None], 1 - missing / 2) * errors.error[name] for name in RECKONINGS]
    return np.asarray(np.fmax.reduce(of_each))


def _t(errors: Errors, name: Reckoning) -> FloatArray:
    return np.asarray(errors.difference / np.maximum(errors.error[name], 1e-300))


def _weights(fitted: Fit, there: FloatArray, baseline: int, tested: BoolArray) -> _Weights:
    """How the runs enter the differences. A cell's level is its mean less the mean effect of its seeds, so two of them
    differ by the baseline's runs, the cell's, and what the seeds' effects, which rest on all runs, are off."""
    n = there.sum(-1)
    seeds = there / np.maximum(n, 1)[..., None]
    ours, of_baseline = seeds[..., [baseline], :], n[..., [baseline]]
    off = (seeds - ours) @ fitted.inverse
    variance = 1 / of_baseline + 1 / n + ((seeds - ours) * off).sum(-1)
    of_runs = there[..., [baseline], :] * (1 / of_baseline[..., None] + off - (off * ours).sum(-1, keepdims=True))
    return _Weights(variance, (of_runs**2).sum(-1), _correlation(seeds - ours, off, variance, n, of_baseline, tested))


def _correlation(
    seeds: FloatArray, off: FloatArray, variance: FloatArray, n: IntArray, of_baseline: IntArray, tested: BoolArray
) -> FloatArray:
    """Covariances are 1 / n of the baseline plus seeds' inverse seeds; their sum needs no matrix of all pairs."""
    scale = np.where(tested, 1 / np.sqrt(variance), 0.0)
    summed = np.nansum(seeds * scale[..., None], -2), np.nansum(off * scale[..., None], -2)
    every = scale.sum(-1) ** 2 / of_baseline[..., 0] + (summed[0] * summed[1]).sum(-1)
    of_themselves = np.where(tested, scale**2 / n, 0.0).sum(-1)
    k = tested.sum(-1)
    mean = (every + of_themselves - k) / np.maximum(k * (k - 1), 1)
    return np.asarray(np.clip(np.round(np.nan_to_num(mean), 2), 0.0, 0.99))


def _baseline_apart(values: FloatArray, baseline: int, weights: _Weights) -> tuple[FloatArray, FloatArray]:
    """Variances (..., cells) of the differences when the baseline's variance is not that of the others; the degrees of
    freedom after Satterthwaite, rounded down to a tenth.

    The baseline minus the seed's effect, estimated from the others, has the baseline's variance plus a share of theirs:
    one over the number of them that have this seed.
    """
    others = np.arange(values.shape[-2]) != baseline
    rest = fit(values[..., others, :])
    beside = (~np.isnan(values[..., others, :])).sum(-2)
    against = np.where(beside > 0, values[..., baseline, :] - rest.of_seed, np.nan)
    n = (~np.isnan(against)).sum(-1)
    contrast = np.nansum((against - (np.nansum(against, -1) / n)[..., None]) ** 2, -1) / np.where(n > 1, n - 1, np.nan)
    share = np.where(np.isnan(against), 0.0, 1 / np.maximum(beside, 1)).sum(-1) / n
    of_rest = np.nan_to_num(rest.variance)
    variance = contrast[..., None] * weights.baseline + of_rest[..., None] * np.maximum(
        weights.variance - (1 + share)[..., None] * weights.baseline, 0
    )
    parts = contrast, of_rest * (1 - share)
    df = sum(parts) ** 2 / (parts[0] ** 2 / (n - 1) + parts[1] ** 2 / np.maximum(rest.df, 1))
    return variance, np.floor(np.where(np.isnan(df), np.where(n > 1, n - 1, np.nan), df) * 10) / 10


def _criticals(errors: Errors, name: Reckoning, level: float) -> FloatArray:
    asked = np.stack(np.broadcast_arrays(errors.comparisons, errors.df[name], errors.correlation), -1)
    distinct, back = np.unique(asked.reshape(-1, 3), axis=0, return_inverse=True)
    found = [
        dunnett.critical(int(many), df, level, rho) if many and df > 0 else np.nan
        for many, df, rho in distinct.tolist()
    ]
    return np.array(found)[back].reshape(asked.shape[:-1])
