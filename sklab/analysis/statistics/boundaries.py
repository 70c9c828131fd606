"""The level of p at each of several looks at growing data, so that all looks together err no more often than one test.

Alpha is spent look by look (Lan and DeMets): 4 - 4 Phi(z(1 - alpha/4) / sqrt t) of it after a share t of the seeds, the
spending function of O'Brien and Fleming's type, which keeps most of it for the last looks. The boundary of a look is
the normal boundary that spends the alpha due at it. It is computed by the recursive integral of Armitage, McPherson and
Rowe and stated as a p: a t statistic of few degrees of freedom is compared with the same p, not with the same number
(Jennison and Turnbull, section 11.4).

A study with planned looks spends PLANNED in proportion to the seeds, up to the number that was planned. That is less
than 5 %: with few seeds and a noisy baseline p is a little too small, at every look anew. Where no further look was
planned, the first one was at the full 5 %, so nothing of these is left: with 5 % at each look, 12 of 100 studies would
claim falsely at 3, 6 or 10 seeds. What looks beyond the plan may claim is bought with LATER, an addition to the 5 %. It
is spent by the share of the seeds that are new since then, so that no largest number of seeds has to be known.

Sources: K. K. G. Lan, D. L. DeMets, Discrete sequential boundaries for clinical trials, Biometrika 70 (1983), 659-663;
P. Armitage, C. K. McPherson, B. C. Rowe, Repeated significance tests on accumulating data, JRSS A 132 (1969), 235-244;
C. Jennison, B. W. Turnbull, Group Sequential Methods with Applications to Clinical Trials, 2000.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import ndtr, ndtri

from sklab.analysis.statistics.intervals import ALPHA, FloatArray

_POINTS = 401  # values of the sum over all seeds so far, between its boundaries
_HALVINGS = 60
PLANNED = 0.038  # the chance of a first false claim at any planned look, as p has it
LATER = 0.001  # the chance of a first false claim beyond the plan; benchmarks/statistics.md says why so little


def spent(share: FloatArray, alpha: float) -> FloatArray:
    """The part of `alpha` that may be spent once `share` (0 to 1) of the seeds are there."""
    return np.asarray(4 * ndtr(ndtri(alpha / 4) / np.sqrt(share)))


@lru_cache(maxsize=4096)
def nominal_levels(start: int, end: int, alpha: float) -> tuple[float, ...]:
    """The levels of the two-sided p at `start`, `start` + 1, ... `end` seeds; over all of these looks they spend
    `alpha`."""
    seeds = np.arange(start, end + 1)
    return levels_that_spend(tuple(seeds.tolist()), tuple(np.diff(spent(seeds / end, alpha), prepend=0.0).tolist()))


@lru_cache(maxsize=4096)
def levels_that_spend(seeds: tuple[float, ...], due: tuple[float, ...]) -> tuple[float, ...]:
    """The levels of the two-sided p after each number of `seeds`, rising: each look first finds a difference that is
    none with the probability that is `due` at it."""
    bound = -ndtri(due[0] / 2) * np.sqrt(seeds[0])
    levels, sums = [due[0]], _between(bound)
    density = _normal(sums / np.sqrt(seeds[0])) / np.sqrt(seeds[0])
    for before, n, now_due in zip(seeds[:-1], seeds[1:], due[1:], strict=True):
        weight, step = density * _weights(sums), np.sqrt(n - before)
        bound = _bound(sums / step, weight, now_due) * step
        levels.append(float(2 * ndtr(-bound / np.sqrt(n))))
        following = _between(bound)
        density, sums = _normal((following[:, None] - sums) / step) / step @ weight, following
    return tuple(levels)


def levels_of_looks(seeds: tuple[float, ...], planned: float) -> tuple[float, ...]:
    """The levels of the adjusted p at looks after these numbers of `seeds`, rising, of which `planned` were planned. A
    first look at all of these has the full 5 %."""
    alpha = PLANNED if seeds[0] < planned else ALPHA
    due = (alpha * min(n / planned, 1) + LATER * max(1 - planned / n, 0) for n in seeds)
    return levels_that_spend(seeds, tuple(np.diff([*due], prepend=0.0).tolist()))


def _bound(sums: FloatArray, weight: FloatArray, due: float) -> float:
    """The boundary that the sum first passes with probability `due` at the next look, given the `sums` so far, in
    standard deviations of what it adds, and their probabilities `weight`."""
    low, high = 0.0, float(sums[-1]) + 40.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        passed = weight @ (ndtr(sums - middle) + ndtr(-sums - middle))
        low, high = (middle, high) if passed > due else (low, middle)
    return (low + high) / 2


def _between(bound: float) -> FloatArray:
    return np.linspace(-bound, bound, _POINTS, dtype=np.float64)


def _weights(points: FloatArray) -> FloatArray:
    """Simpson's rule over evenly spaced points, an odd number of them."""
    weights = np.where(np.arange(len(points)) % 2, 4.0, 2.0)
    weights[[0, -1]] = 1.0
    return np.asarray(weights * (points[1] - points[0]) / 3)


def _normal(z: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))
