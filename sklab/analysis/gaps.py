"""Standard errors of differences from the baseline in a block design with gaps: not every cell has every seed.

The additive model of `blocks` (value = cell + seed + error) is fitted by least squares to the runs that are there, so
that every run tells of the spread, also those of cells that got fewer seeds. A difference is the mean over the seeds
that a cell shares with the baseline; its error is reckoned in the three ways of `blocks`, and the widest counts.

Tables are arrays (..., cells, seeds), NaN for a run that is not there; leading axes are independent studies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from sklab.analysis.stats import ROUNDING, BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class Fit:
    """The additive fit: effects of the seeds (..., seeds), residual sum of squares (...) and its `df` (...)."""

    of_seed: FloatArray
    squares: FloatArray
    df: IntArray


@dataclass(frozen=True)
class Differences:
    """Of every cell from the baseline, (..., cells): `n` shared seeds, mean difference, NaN where there are none.

    error, df   the three reckonings, (3, ..., cells): standard errors and their degrees of freedom; NaN where fewer
                than two seeds are shared or there is no spread
    """

    n: IntArray
    mean: FloatArray
    error: FloatArray
    df: FloatArray

    @property
    def p(self) -> FloatArray:
        """Two-sided p of the single differences, the largest of the three; NaN where there is no test."""
        return np.asarray((2 * stdtr(self.df, -np.abs(self.mean) / np.maximum(self.error, 1e-300))).max(0))

    def half(self, level: FloatArray) -> FloatArray:
        """Half widths of intervals that miss the truth with probability `level`, the widest of the three."""
        return np.asarray((stdtrit(self.df, 1 - level / 2) * self.error).max(0))


def fit(values: FloatArray) -> Fit:
    """Least squares for cells and seeds. The cells are eliminated, which leaves a system as large as the seeds."""
    there = (~np.isnan(values)).astype(float)
    n = np.maximum(there.sum(-1), 1)[..., None]
    centred = np.nan_to_num(values)
    centred = there * (centred - centred.sum(-1, keepdims=True) / n)
    system = there.sum(-2)[..., None] * np.eye(values.shape[-1]) - np.swapaxes(there, -1, -2) @ (there / n)
    of_seed = (np.linalg.pinv(system, hermitian=True) @ centred.sum(-2)[..., None])[..., 0]
    left = centred - there * (of_seed[..., None, :] - (there @ of_seed[..., None]) / n)
    used = there.any(-1).sum(-1) + there.any(-2).sum(-1)
    return Fit(of_seed, (left**2).sum((-1, -2)), np.maximum(there.sum((-1, -2)) - used + 1, 0).astype(int))


def differences(values: FloatArray, baseline: int) -> Differences:
    """Every row of `values` against row `baseline`; the baseline's own place is NaN."""
    others = np.arange(values.shape[-2]) != baseline
    apart = np.where(others[:, None], values - values[..., [baseline], :], np.nan)
    n = (~np.isnan(apart)).sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nansum(apart, -1) / n
        own = np.nansum((apart - mean[..., None]) ** 2, -1) / np.where(n > 1, n - 1, np.nan)
        whole, rest = fit(values), fit(values[..., others, :])
        variance, df = _pooled(whole)
        noisy, noisy_df = _baseline_apart(values, rest, baseline, others)
        shape = own.shape
        variances = np.stack([_spread(2 * variance, shape), _spread(noisy, shape), own])
        variances[:, ~(variances.max(0) > (ROUNDING * np.nanmax(np.abs(values), initial=0.0)) ** 2)] = np.nan
        error = np.sqrt(variances / n)
    return Differences(n, mean, error, np.stack([_spread(df, shape), _spread(noisy_df, shape), _spread(df, shape)]))


def _pooled(fitted: Fit) -> tuple[FloatArray, FloatArray]:
    df = np.where(fitted.df > 0, fitted.df, np.nan)
    return fitted.squares / df, df


def _spread(of_study: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    return np.broadcast_to(of_study[..., None], shape)


def _baseline_apart(values: FloatArray, rest: Fit, baseline: int, others: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Variance (...) of a seed's difference when the baseline has a variance of its own; Satterthwaite's df.

    The baseline minus the seed's effect, estimated from the others, has the baseline's variance plus a share of theirs:
    one over the number of them that have this seed.
    """
    beside = (~np.isnan(values[..., others, :])).sum(-2)
    against = np.where(beside > 0, values[..., baseline, :] - rest.of_seed, np.nan)
    n = (~np.isnan(against)).sum(-1)
    centre = np.nansum(against, -1) / n
    contrast = np.nansum((against - centre[..., None]) ** 2, -1) / np.where(n > 1, n - 1, np.nan)
    share = np.where(np.isnan(against), 0.0, 1 / np.maximum(beside, 1)).sum(-1) / n
    of_rest = np.where(rest.df > 0, rest.squares / np.maximum(rest.df, 1), 0.0) * (1 - share)
    df = (contrast + of_rest) ** 2 / (contrast**2 / (n - 1) + of_rest**2 / np.maximum(rest.df, 1))
    return contrast + of_rest, np.asarray(df)
