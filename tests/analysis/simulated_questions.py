"""Thousands of simulated studies and their questions: false claims, coverage and power of the planned contrasts.

The studies have the eleven cells of sweeps/kernels.yaml. Run as a program it prints the tables of
benchmarks/statistics.md: `simulated_questions.py [studies]`.
"""

import sys

import numpy as np
from scipy.special import stdtr
from simulated import studies

from sklab.analysis.statistics import contrasts
from sklab.analysis.statistics.dunnett import exceedance_of

K3, K5, K7, K3K5, K3K5SK, K3K7, K3K7SK, K5K7, K5K7SK, K3K5K7, K3K5K7SK = range(11)
PAIRS = ((K3K5, K3K5SK), (K3K7, K3K7SK), (K5K7, K5K7SK), (K3K5K7, K3K5K7SK))
NOISES = (
    "normal",
    "one cell x4",
    "attention x4",
    "baseline x4",
    "half the cells x4",
    "t, 4 df",
    "t, 3 df",
    "one run missing",
    "a tenth missing",
    "a tenth missing, one cell x4",
)


def of_pair(low, high, share=1.0):
    weights = np.zeros(11)
    weights[low], weights[high] = -share, share
    return weights


OF_PAIRS = np.array([of_pair(*pair) for pair in PAIRS])
ATTENTION = OF_PAIRS.mean(0)
SECOND_PATH = (of_pair(K3, K3K5) + of_pair(K3, K3K7)) / 2
QUESTIONS = np.array([ATTENTION, SECOND_PATH, of_pair(K3K5SK, K3K5K7SK)])
WITH_ATTENTION = [high for _, high in PAIRS]


def drawn(noise, count, seeds, rng):
    """Studies (count, 11, seeds) without any true difference; "attention x4": of all cells with attention."""
    if noise != "attention x4":
        return studies(noise, count, 11, seeds, rng)
    values = rng.standard_normal((count, 11, seeds))
    values[:, WITH_ATTENTION] *= 2
    return values + 3 * rng.standard_normal((count, 1, seeds))


def family_of(values, weights=QUESTIONS):
    return contrasts.with_table_rule(contrasts.contrasts(values, weights), values, weights)


def adjusted_p(judged, alpha=0.05):
    """(studies): the smallest adjusted p of each study, exact where it is not clear on which side of `alpha` it is; 1
    where nothing could be tested."""
    t, correlation = np.abs(judged.estimate / judged.error), judged.correlation
    smallest = np.nanargmin(np.where(np.isnan(t), np.inf, 2 * stdtr(judged.df, -t)), -1)
    p = [_adjusted(t[at], judged.df[at], correlation[at], first, alpha) for at, first in enumerate(smallest)]
    return np.array(p)


def _adjusted(t, df, correlation, first, alpha=0.05):
    tested = np.flatnonzero(~np.isnan(t))
    if not len(tested):
        return 1.0
    single = 2 * stdtr(df[first], -t[first])
    if single > alpha or single * len(tested) < alpha:
        return float(single)
    return exceedance_of(t[first], df[first], correlation[np.ix_(tested, tested)])


def false_claims(noise, seeds, count=10_000):
    """Per cent of studies with at least one false claim, and of each question by itself."""
    values = drawn(noise, count, seeds, np.random.default_rng([seeds, NOISES.index(noise)]))
    judged = family_of(values)
    single = 2 * stdtr(judged.df, -np.abs(judged.estimate / judged.error)) < 0.05
    return 100 * np.mean(adjusted_p(judged) < 0.05), *(100 * single.mean(0))


def disagreeing(noise, seeds, count=10_000):
    """Per cent of studies in which the pairs of the first question are said to disagree, though they agree."""
    values = drawn(noise, count, seeds, np.random.default_rng([seeds, NOISES.index(noise)]))
    judged = contrasts.contrasts(values, OF_PAIRS)
    whole = ~np.isnan(judged.error).any(-1)
    p = contrasts.disagreements(judged)
    return 100 * np.mean(p[whole] < 0.05)


def power(noise, seeds, effect, count=10_000):
    """Per cent of studies in which the first question is decided (adjusted p below 0.05) when all cells with attention
    differ by `effect` standard deviations of a run; and of those in which the same is claimed of the pair K3+K5."""
    values = drawn(noise, count, seeds, np.random.default_rng(seeds))
    values[:, WITH_ATTENTION] -= effect
    judged = family_of(values)
    t, correlation = np.abs(judged.estimate / judged.error), judged.correlation
    p = [_adjusted(t[at], judged.df[at], correlation[at], 0) for at in range(count)]
    return 100 * np.mean(np.array(p) < 0.05)


def write(*cells):
    sys.stdout.write("| " + " | ".join(map(str, cells)) + " |\n")


def write_tables(count):
    for noise in NOISES:
        claims = [false_claims(noise, seeds, count) for seeds in (3, 5, 10)]
        agree = [f"{disagreeing(noise, seeds, count):.1f}" for seeds in (3, 5, 10)]
        write(noise, *(" / ".join(f"{of[at]:.1f}" for of in claims) for at in range(4)), " / ".join(agree))
    for noise in ("normal", "one cell x4", "attention x4"):
        for effect in (0.65, 1.0, 1.3):
            write(noise, effect, *(f"{power(noise, seeds, effect, count):.1f}" for seeds in (3, 5, 10)))


if __name__ == "__main__":
    write_tables(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
