"""Intervals and tests for few seeds, and the agreement of two orders of cells: arrays in, numbers out.

Values lie along the last axis, one per seed; NaN stands for a run without a value. Where the data allow no statement
(fewer than two values, or no spread between them), the answer is NaN.
Source of the formulas: Student's t for one sample and for pairs; S. Holm, A simple sequentially rejective multiple
test procedure, Scandinavian Journal of Statistics 6 (1979), 65-70.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, stdtr, stdtrit

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

LEVEL = 0.95  # of every interval
ALPHA = 0.05  # of every test

# A spread below this share of the values may come from rounding alone: errors in the records of older versions, and
# losses in all records, are of single precision.
ROUNDING = 1e-6
Verdict = Literal["reproduced", "not reproduced", "cannot tell"]


@dataclass(frozen=True)
class Estimate:
    """Means over seeds: `n` values, their `mean` (NaN for n = 0) and the `half` width of its interval.

    `half` is NaN for n < 2 and where all values are equal: the spread is not known then.
    """

    n: IntArray
    mean: FloatArray
    half: FloatArray


@dataclass(frozen=True)
class Difference:
    """Mean differences: `n`, `mean` and `half` as in Estimate, two-sided `p`, and the `df` of the t behind both.

    `n` counts the seeds that both sides share; without pairs, the runs of the side that has fewer.
    """

    n: IntArray
    mean: FloatArray
    half: FloatArray
    p: FloatArray
    df: FloatArray


def none_if_nan(value: npt.ArrayLike) -> float | None:
    """A single number as a float; None for NaN."""
    number = float(np.asarray(value))
    return None if np.isnan(number) else number


def rounding_variance(values: npt.ArrayLike) -> float:
    """The largest variance that rounding alone can give to equal numbers of the size of `values`; NaN are ignored."""
    return float((ROUNDING * np.nanmax(np.abs(values), initial=0.0)) ** 2)


def mean_interval(values: npt.ArrayLike, level: float = LEVEL) -> Estimate:
    """Mean and t interval along the last axis of `values` (..., seeds)."""
    array = np.asarray(values, dtype=np.float64)
    n, mean, error = _moments(array, _largest(array))
    return Estimate(n, mean, _quantile(n, level) * error)


def paired_difference(values: npt.ArrayLike, reference: npt.ArrayLike, level: float = LEVEL) -> Difference:
    """`values` (..., seeds) minus `reference` (seeds), seed by seed: mean, t interval and two-sided t test.

    p is NaN where n < 2, and where all differences are the same number, even zero: errors move in steps of one image,
    so equal differences happen by chance and do not show the spread.
    """
    own, others = np.asarray(values, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    scale = np.fmax(_largest(own), _largest(others))
    n, mean, error = _moments(own - others, scale)
    with np.errstate(invalid="ignore"):
        p = 2 * stdtr(np.maximum(n - 1, 1), -np.abs(mean / error))
    df = np.where(n >= 2, n - 1, np.nan).astype(np.float64)
    return Difference(n, mean, _quantile(n, level) * error, p, df)


def welch_difference(values: npt.ArrayLike, reference: npt.ArrayLike, level: float = LEVEL) -> Difference:
    """`values` (..., seeds) minus `reference` (seeds) as independent samples of unequal variance, whatever their seeds.

    Degrees of freedom after Satterthwaite. NaN where either side has fewer than two values or no spread.
    """
    own, others = np.asarray(values, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    n, mean, error = _moments(own, _largest(own))
    other_n, other_mean, other_error = _moments(others, _largest(others))
    both = error**2 + other_error**2
    df = both**2 / (error**4 / np.maximum(n - 1, 1) + other_error**4 / np.maximum(other_n - 1, 1))
    p = 2 * stdtr(df, -np.abs(mean - other_mean) / np.sqrt(both))
    half = np.asarray(stdtrit(df, 0.5 + level / 2) * np.sqrt(both), dtype=np.float64)
    return Difference(np.minimum(n, other_n), mean - other_mean, half, p, df)


def mean_difference(
    values: npt.ArrayLike, reference: npt.ArrayLike, level: float = LEVEL
) -> tuple[Difference, BoolArray]:
    """The paired difference where at least two seeds are shared (True in the second value), else Welch's."""
    paired, welch = paired_difference(values, reference, level), welch_difference(values, reference, level)
    shared = np.asarray(paired.n >= 2)
    return Difference(
        *(np.where(shared, *fields) for fields in zip(_arrays(paired), _arrays(welch), strict=True))
    ), shared


def no_better_than_guessing(error: float, guessing: float, images: int, looks: int = 1) -> bool:
    """Whether an error is no lower than that of `guessing` (both in %), as far as this number of images can tell.

    The test is one-sided at 2.5 % by the binomial distribution, divided by the number of `looks` of which `error` is
    the lowest. Where `images` is 0 (not known), the two errors are simply compared. The images count once, even if
    `error` is the mean of several runs: all runs use the same images, and those that learn nothing often make the same
    guess.
    """
    wrong = np.floor(images * (error / 100 + ROUNDING))
    by_chance = images > 0 and bdtr(wrong, images, guessing / 100) > (1 - LEVEL) / 2 / looks
    return bool(by_chance or error >= guessing * (1 - ROUNDING))


def holm(p: npt.ArrayLike) -> FloatArray:
    """Holm-adjusted p of a family of tests (one axis). NaN is no test: it stays NaN and does not count."""
    raw = np.asarray(p, dtype=np.float64)
    adjusted = np.full_like(raw, np.nan)
    tested = np.flatnonzero(~np.isnan(raw))
    order = tested[np.argsort(raw[tested], kind="stable")]
    scaled = raw[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def _arrays(difference: Difference) -> tuple[Any, ...]:
    return difference.n, difference.mean, difference.half, difference.p, difference.df


def _moments(values: FloatArray, scale: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
    """n, mean and standard error of the mean along the last axis; NaN where they are not defined."""
    n = np.count_nonzero(~np.isnan(values), axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.asarray(np.nansum(values, axis=-1) / n)
        squares = np.nansum((values - mean[..., None]) ** 2, axis=-1)
        spread = np.asarray(np.sqrt(squares / (n - 1)))
        spread = np.where((n < 2) | (spread <= ROUNDING * scale), np.nan, spread)
        return np.asarray(n), mean, spread / np.sqrt(n)


def _quantile(n: IntArray, level: float) -> FloatArray:
    return np.asarray(stdtrit(np.maximum(n - 1, 1), 0.5 + level / 2))


def _largest(values: FloatArray) -> FloatArray:
    return np.asarray(np.max(np.abs(np.nan_to_num(values)), axis=-1, initial=0.0))


@dataclass(frozen=True)
class RankAgreement:
    """Kendall's `tau` (b: with ties) over the `n` cells that have both figures, with its two-sided `p`.

    1: the same order, -1: reversed. NaN for fewer than two cells or where one side has only ties.
    """

    tau: float
    p: float
    n: int


def verdict(difference: float, half: float, tolerance: float) -> Verdict:
    """The verdict on our value minus the published one, with the half width of its interval; `tolerance` is in the same
    unit.

    reproduced        the whole interval lies within the tolerance
    not reproduced    the whole interval lies outside it
    cannot tell       anything else, also an interval that is NaN
    """
    if abs(difference) + half <= tolerance:
        return "reproduced"
    return "not reproduced" if abs(difference) - half > tolerance else "cannot tell"


def rank_agreement(ours: npt.ArrayLike, published: npt.ArrayLike) -> RankAgreement:
    """Kendall's tau between two columns (cells), NaN where a figure is missing."""
    pair = np.array([ours, published], dtype=np.float64)
    both = pair[:, ~np.isnan(pair).any(axis=0)]
    n = both.shape[1]
    if n < 2 or np.any(np.ptp(both, axis=1) == 0):
        return RankAgreement(float("nan"), float("nan"), n)
    from scipy.stats import kendalltau  # takes more than a second, which most reports can save

    agreement = kendalltau(*both)
    return RankAgreement(float(agreement.statistic), float(agreement.pvalue), n)
