"""The power of the seeds at hand: effect sizes, smallest detectable differences, and the number of seeds needed.

All follow from Student's t: with `sd` the standard deviation of one seed's difference, the mean difference of n seeds
has standard error sd / sqrt(n), and a true difference d is found when |t| > critical, t noncentral with d / (sd /
sqrt(n)). The spread is taken as observed, so these are estimates for planning, not statements about the cells. Source
of the correction: L. V. Hedges, Distribution theory for Glass's estimator of effect size, J. Educational Statistics 6
(1981).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, nctdtr, nctdtrinc

POWER = 0.8
MOST_SEEDS = 1000

Critical = Callable[[float], float]  # degrees of freedom -> the |t| that a test has to exceed


def hedges(difference: float, sd: float, df: float) -> float:
    """The difference in units of the standard deviation of a seed's difference, without the bias of few seeds. NaN for
    df < 2."""
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
    return fewest_seeds(grown(difference, sd, n, df), critical)


def fewest_seeds(power: Growth, critical: Critical) -> int | None:
    """The fewest seeds with which a difference is found with 80 % probability; None beyond 1000."""
    if power.noncentrality(1) == 0:
        return None
    low, high = 1, 2
    while not power.enough(high, critical(power.df(high))):  # upwards, as the noncentral t has no number far beyond
        if high == MOST_SEEDS:
            return None
        low, high = high, min(2 * high, MOST_SEEDS)
    return _between(low, high, power, critical)


@dataclass(frozen=True)
class Growth:
    """What a test becomes with more seeds: the true difference over its standard error, and the degrees of freedom."""

    noncentrality: Callable[[int], float]
    df: Callable[[int], float]

    def enough(self, seeds: int, t: float) -> bool:
        """Whether |t| is exceeded with 80 % probability."""
        return bool(nctdtr(self.df(seeds), self.noncentrality(seeds), t) <= 1 - POWER)


def grown(difference: float, sd: float, n: int, df: float) -> Growth:
    """The growth of a test of `n` seeds with `df` degrees of freedom, where `sd` is that of one seed's difference."""
    size, df_per_seed = abs(difference) / sd, df / (n - 1)
    return Growth(lambda seeds: size * float(np.sqrt(seeds)), lambda seeds: df_per_seed * (seeds - 1))


def _between(low: int, high: int, power: Growth, critical: Critical) -> int:
    """The fewest seeds that are enough, above `low` and at most `high`.

    The critical t falls as seeds are added. It takes an integral for each number of seeds, so the search uses that at
    `high` throughout; the result is then at most a seed or two too small, which the last loop mends.
    """
    most, least = critical(power.df(max(low, 2))), critical(power.df(high))
    short = low
    while high - short > 1:
        middle = (short + high) // 2
        short, high = (short, middle) if power.enough(middle, least) else (middle, high)
    while not (power.enough(high, most) or power.enough(high, critical(power.df(high)))):
        high += 1
    return high
