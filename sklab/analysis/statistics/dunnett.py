"""The distribution behind comparisons of several cells with one baseline.

Source: C. W. Dunnett, A multiple comparison procedure for comparing several treatments with a control, JASA 50
(1955), 1096-1121. All comparisons share the baseline's mean (correlation 1/2 for equal n and variance) and one
estimate of the variance. Given both they are independent, so the probability that all stay below t is a double
integral of a product, computed here by the trapezoidal rule, to 1e-6 with 1000 comparisons and to better than that with
fewer. Where variances differ, the correlation is the baseline's share in the variance of a difference.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import gammainccinv, gammaincinv, gammaln, ndtr, stdtr, stdtrit

from sklab.analysis.statistics.intervals import LEVEL, FloatArray

_Z = np.linspace(0.0, 7.0, 25)  # the baseline's deviation, in standard errors; the other side is its mirror
_Z_WEIGHTS = np.where(_Z == 0, 0.5, np.exp(-(_Z**2) / 2)) / np.where(_Z == 0, 0.5, np.exp(-(_Z**2) / 2)).sum()
_STEP, _FEWEST = 0.08, 32  # in the logarithm of the estimated standard deviation; points, however narrow that is
_TAIL = 1e-12  # of its distribution, left out at either end
_EXACT = 1e-9


def exceedance(t: npt.ArrayLike, comparisons: int, df: float, correlation: float = 0.5) -> FloatArray:
    """The probability that the largest of `comparisons` two-sided t statistics exceeds `t` (any shape) by chance.

    `correlation` (at least 0, below 1) is that of any two of them. With one comparison this is Student's two-sided p;
    with more it is the p that Dunnett's test adjusts to. NaN stays.
    """
    if comparisons == 1:
        return np.asarray(2 * stdtr(df, -np.abs(np.asarray(t, dtype=np.float64))))
    spread, weights = _spread(df)
    reach = np.abs(np.asarray(t, dtype=np.float64))[..., None, None] * spread[:, None]
    shared, rest = np.sqrt(correlation) * _Z, np.sqrt(1 - correlation)
    outside = ndtr((-reach - shared) / rest) + ndtr((-reach + shared) / rest)
    with np.errstate(divide="ignore"):
        any_outside = -np.expm1(comparisons * np.log1p(-np.minimum(outside, 1.0)))
    return np.asarray(np.minimum(np.einsum("...sz,s,z->...", any_outside, weights, _Z_WEIGHTS), 1.0))


@lru_cache(maxsize=4096)
def critical(comparisons: int, df: float, level: float = LEVEL, correlation: float = 0.5) -> float:
    """The t that the largest of `comparisons` two-sided t statistics stays below with probability `level`."""
    low, high = stdtrit(df, 0.5 + level / 2), stdtrit(df, 1 - (1 - level) / (2 * comparisons))
    gap = np.log(exceedance([low, high], comparisons, df, correlation) / (1 - level))
    while abs(high - low) > _EXACT * low and gap[0] != gap[1]:  # the secant rule on log p: nearly straight in log t
        step = np.log(high / low) * gap[1] / (gap[1] - gap[0])
        low, high = high, high * np.exp(-step)
        gap = np.array([gap[1], np.log(exceedance(high, comparisons, df, correlation) / (1 - level))])
    return float(high)


@lru_cache(maxsize=4096)
def _spread(df: float) -> tuple[FloatArray, FloatArray]:
    """Estimated over true standard deviation at `df` degrees of freedom: points, evenly spaced in log, and weights."""
    low, high = np.log(np.array([gammaincinv(df / 2, _TAIL), gammainccinv(df / 2, _TAIL)]) / (df / 2)) / 2
    log = np.linspace(low, high, max(_FEWEST, math.ceil(np.nan_to_num(high - low) / _STEP)))
    density = df * log - df / 2 * np.exp(2 * log) + df / 2 * np.log(df / 2) - gammaln(df / 2)
    return np.exp(log), np.exp(density) * 2 * (log[1] - log[0])
