"""The distribution behind comparisons of several cells with one baseline.

Source: C. W. Dunnett, A multiple comparison procedure for comparing several treatments with a control, JASA 50
(1955), 1096-1121. All comparisons share the baseline's mean (correlation 1/2 for equal n and variance) and one
estimate of the variance. Given both they are independent, so the probability that all stay below t is a double
integral of a product. It is computed here by the trapezoidal rule, to 1e-6 with 1000 comparisons and more precisely
with fewer. Where variances differ, the correlation is the baseline's share in the variance of a difference.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import gammainccinv, gammaincinv, gammaln, ndtr, ndtri, stdtr, stdtrit

from sklab.analysis.statistics.intervals import LEVEL, FloatArray, IntArray

_Z = np.linspace(0.0, 7.0, 25)  # the baseline's deviation, in standard errors; the other side is its mirror
_Z_WEIGHTS = np.where(_Z == 0, 0.5, np.exp(-(_Z**2) / 2)) / np.where(_Z == 0, 0.5, np.exp(-(_Z**2) / 2)).sum()
_STEP, _FEWEST = 0.08, 32  # step in the logarithm of the estimated standard deviation; fewest points
_TAIL = 1e-12  # of its distribution: is left out at either end
_EXACT = 1e-9
# Of the multivariate t: statistics, points, precision of a critical t, addition to the diagonal
_MOST, _POINTS, _CLOSE, _JITTER = 12, 8191, 1e-4, 1e-9


def exceedance(t: npt.ArrayLike, comparisons: int, df: float, correlation: float = 0.5) -> FloatArray:
    """The probability that the largest of `comparisons` two-sided t statistics exceeds `t` (any shape) by chance.

    `correlation` (at least 0, below 1) is that of any two of them. With one comparison this is Student's two-sided p;
    with more it is the adjusted p of Dunnett's test. NaN stays NaN.
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


def criticals(comparisons: IntArray, df: FloatArray, correlation: FloatArray, level: float) -> FloatArray:
    """`critical` for arrays of one shape; NaN without comparisons or degrees of freedom."""
    arguments = np.stack(np.broadcast_arrays(comparisons, df, correlation), -1)
    distinct, back = np.unique(arguments.reshape(-1, 3), axis=0, return_inverse=True)
    values = [critical(int(n), df, level, rho) if n and df > 0 else np.nan for n, df, rho in distinct.tolist()]
    return np.array(values)[back].reshape(arguments.shape[:-1])


@lru_cache(maxsize=4096)
def _spread(df: float) -> tuple[FloatArray, FloatArray]:
    """Estimated over true standard deviation at `df` degrees of freedom: points, evenly spaced in log, and weights."""
    low, high = np.log(np.array([gammaincinv(df / 2, _TAIL), gammainccinv(df / 2, _TAIL)]) / (df / 2)) / 2
    log = np.linspace(low, high, max(_FEWEST, math.ceil(np.nan_to_num(high - low) / _STEP)))
    density = df * log - df / 2 * np.exp(2 * log) + df / 2 * np.log(df / 2) - gammaln(df / 2)
    return np.exp(log), np.exp(density) * 2 * (log[1] - log[0])


def exceedance_of(t: float, df: float, correlation: FloatArray) -> float:
    """The probability that the largest |t| of several two-sided t statistics exceeds `t` by chance.

    `correlation` (statistics, statistics) may be singular. By the separation of variables over a lattice of points (A.
    Genz, F. Bretz, Computation of Multivariate Normal and t Probabilities, 2009), to about 1e-4. For a family of more
    than 12 it is the bound of Šidák's inequality, which is a little larger and takes no time.
    """
    single = float(2 * stdtr(df, -t))
    if len(correlation) == 1 or len(correlation) > _MOST:
        return 1 - (1 - single) ** len(correlation)
    points = _lattice(len(correlation))
    reach = t * _deviations(df, len(correlation))
    factor = np.linalg.cholesky(correlation + _JITTER * np.eye(len(correlation)))
    inside, normals = np.ones_like(reach), np.zeros_like(points)
    for at, row in enumerate(factor):
        shift = row[:at] @ normals[:at]
        low, high = ndtr((-reach - shift) / row[at]), ndtr((reach - shift) / row[at])
        inside = inside * (high - low)
        if at + 1 < len(factor):
            normals[at] = ndtri(np.clip(low + points[at + 1] * (high - low), _TAIL, 1 - _TAIL))
    return float(np.clip(1 - inside.mean(), 0, 1))


def critical_of(df: float, correlation: FloatArray, level: float = LEVEL) -> float:
    """The t that the largest |t| of several correlated statistics stays below with probability `level`."""
    if len(correlation) == 1 or len(correlation) > _MOST:
        return float(stdtrit(df, 0.5 + level ** (1 / len(correlation)) / 2))
    low = float(stdtrit(df, 0.5 + level / 2))
    high = float(stdtrit(df, 1 - (1 - level) / (2 * len(correlation))))
    while high - low > _CLOSE * low:
        middle = (low + high) / 2
        low, high = (middle, high) if exceedance_of(middle, df, correlation) > 1 - level else (low, middle)
    return high


@lru_cache(maxsize=512)
def _deviations(df: float, dimensions: int) -> FloatArray:
    """(points): estimated over true standard deviation at `df` degrees of freedom."""
    return np.asarray(np.sqrt(gammaincinv(df / 2, _lattice(dimensions)[0]) * 2 / df))


@lru_cache(maxsize=64)
def _lattice(dimensions: int) -> FloatArray:
    """Points (dimensions, points) that fill the unit cube evenly: a lattice of square roots of primes, folded so that
    the integrand becomes periodic."""
    primes = [n for n in range(2, 20 * dimensions + 20) if all(n % m for m in range(2, math.isqrt(n) + 1))]
    steps = np.sqrt(primes[:dimensions])[:, None] * np.arange(1, _POINTS + 1)
    return np.asarray(np.clip(np.abs(2 * (steps % 1) - 1), _TAIL, 1 - _TAIL))
