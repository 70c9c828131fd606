"""What the seeds at hand could show, and how many it would take: effect size, smallest difference, seeds needed.

All from Student's t: with `sd` the standard deviation of one seed's difference, the mean difference of n seeds has
standard error sd / sqrt(n), and a true difference d is found when |t| > critical, t noncentral with d / (sd / sqrt(n)).
The spread is taken as observed, so these are estimates to plan by, not statements about the cells. Source of the
correction: L. V. Hedges, Distribution theory for Glass's estimator of effect size, J. Educational Statistics 6 (1981).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import gammaln, nctdtr, nctdtrinc

POWER = 0.8
MOST_SEEDS = 1000

Critical = Callable[[float], float]  # degrees of freedom -> the |t| that a test has to exceed


def hedges(difference: float, sd: float, df: float) -> float:
    """The difference in standard deviations of a seed's difference, without the bias of few seeds. NaN below df 2."""
    if df < 2 or not sd > 0:
        return float("nan")
    correction = np.exp(gammaln(df / 2) - gammaln((df - 1) / 2)) / np.sqrt(df / 2)
    return float(difference / sd * correction)


def detectable(sd: float, n: int, df: float, critical: Critical) -> float:
    """The true difference that `n` seeds find with 80 % probability, in the unit of `sd`."""
    return float(nctdtrinc(df, 1 - POWER, critical(df)) * sd / np.sqrt(n))


def seeds_needed(difference: float, sd: float, n: int, df: float, critical: Critical) -> int | None:
    """The seeds in all that find a true `difference` of this size with 80 % probability; None beyond 1000.

    `df` are the degrees of freedom with the `n` seeds at hand; they grow with seeds - 1.
    """
    if difference == 0:
        return None
    enough = _enough(abs(difference) / sd, df / (n - 1), critical)
    low, high = 1, 2
    while not enough(high):  # upwards, because far beyond what is needed the noncentral t has no number left
        if high == MOST_SEEDS:
            return None
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _enough(size: float, df_per_seed: float, critical: Critical) -> Callable[[int], bool]:
    def enough(seeds: int) -> bool:
        df = df_per_seed * (seeds - 1)
        return bool(nctdtr(df, size * np.sqrt(seeds), critical(df)) <= 1 - POWER)

    return enough
