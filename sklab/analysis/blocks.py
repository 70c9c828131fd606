"""The randomised complete block design: every cell was run with every seed, and the seed is the block.

    value = cell + seed + error

What a seed does to all cells alike drops out, and the spread of the errors is estimated from all cells together:
(cells - 1)(seeds - 1) degrees of freedom where one pair of cells has seeds - 1. That estimate is exact when all cells
have errors of equal variance. Few seeds cannot show whether they do, and a noisy baseline would spoil every
comparison at once, so the standard error of a difference is reckoned in three ways and the widest interval is the one
to state (measured in docs/statistics.md):

    equal      all cells share one variance
    baseline   the baseline has one of its own, the other cells share one (Satterthwaite's degrees of freedom)
    own        no less than the spread of this cell's own differences from the baseline

Tables are arrays (..., cells, seeds) without NaN; leading axes are independent studies.
Sources: R. A. Fisher, The Design of Experiments, 1935; F. E. Satterthwaite, An approximate distribution of estimates of
variance components, Biometrics Bulletin 2 (1946), 110-114.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sklab.analysis import dunnett
from sklab.analysis.stats import LEVEL, FloatArray

Reckoning = Literal["equal", "baseline", "own"]
RECKONINGS: tuple[Reckoning, ...] = ("equal", "baseline", "own")


@dataclass(frozen=True)
class Residuals:
    """What is left after cells and seeds: `squares` (..., cells) summed over seeds, and pooled `variance` (...).

    `df` is (cells - 1)(seeds - 1), the degrees of freedom of `variance`.
    """

    squares: FloatArray
    variance: FloatArray
    df: int


@dataclass(frozen=True)
class Errors:
    """Standard errors of the differences from the baseline, one array (..., cells) for each of RECKONINGS.

    `df` (...) are the degrees of freedom that each is tested with. The baseline's own place is NaN.
    """

    error: dict[Reckoning, FloatArray]
    df: dict[Reckoning, FloatArray]


def residuals(values: FloatArray) -> Residuals:
    """The additive fit of `values` (..., cells, seeds), at least two of each."""
    cells, seeds = values.shape[-2:]
    left = values - values.mean(-1, keepdims=True) - values.mean(-2, keepdims=True)
    left = left + values.mean((-2, -1), keepdims=True)
    squares = (left**2).sum(-1)
    df = (cells - 1) * (seeds - 1)
    return Residuals(squares, squares.sum(-1) / df, df)


def standard_errors(values: FloatArray, baseline: int) -> Errors:
    """The three reckonings for `values` (..., cells, seeds) against row `baseline`."""
    fit, seeds = residuals(values), values.shape[-1]
    own = (values - values[..., [baseline], :]).var(-1, ddof=1)
    apart, df = _baseline_apart(fit, values.shape[-2], seeds, baseline)
    pooled_df = np.full(fit.variance.shape, float(fit.df))
    variances = {"equal": np.broadcast_to(2 * fit.variance[..., None], own.shape), "baseline": apart, "own": own}
    others = np.where(np.arange(values.shape[-2]) == baseline, np.nan, 1.0)
    error = {name: np.sqrt(variances[name] / seeds) * others for name in RECKONINGS}
    return Errors(error, {"equal": pooled_df, "baseline": df, "own": pooled_df})


def half_widths(errors: Errors, level: float = LEVEL) -> dict[Reckoning, FloatArray]:
    """Half widths (..., cells) of simultaneous intervals after each of RECKONINGS, with Dunnett's t."""
    return {name: _criticals(errors, name, level)[..., None] * errors.error[name] for name in RECKONINGS}


def p_values(difference: FloatArray, errors: Errors, comparisons: int) -> FloatArray:
    """Two-sided p (cells) of one table: the largest over the three reckonings, adjusted for `comparisons` (1: not)."""
    of_each = [
        dunnett.exceedance(difference / np.maximum(errors.error[name], 1e-300), comparisons, float(errors.df[name]))
        for name in RECKONINGS
    ]
    return np.asarray(np.max(of_each, axis=0))


def _baseline_apart(fit: Residuals, cells: int, seeds: int, baseline: int) -> tuple[FloatArray, FloatArray]:
    """Variance (..., 1) of a difference when the baseline's variance is not that of the others; Satterthwaite's df.

    The baseline minus the mean of the others has, seed by seed, the baseline's variance plus a share of theirs; it is
    independent of how the others scatter around their mean.
    """
    ours = fit.squares[..., baseline] * cells / (cells - 1)
    contrast, contrast_df = ours * cells / (cells - 1) / (seeds - 1), seeds - 1
    others_df = max((cells - 2) * (seeds - 1), 1)
    others = np.maximum(fit.squares.sum(-1) - ours, 0) / others_df * (cells - 2) / (cells - 1)
    with np.errstate(invalid="ignore"):
        df = (contrast + others) ** 2 / (contrast**2 / contrast_df + others**2 / others_df)
    return (contrast + others)[..., None], np.floor(np.nan_to_num(df, nan=contrast_df) * 10) / 10


def _criticals(errors: Errors, name: Reckoning, level: float) -> FloatArray:
    comparisons = errors.error[name].shape[-1] - 1
    df, back = np.unique(errors.df[name], return_inverse=True)
    return np.array([dunnett.critical(comparisons, float(one), level) for one in df])[back].reshape(
        errors.df[name].shape
    )
