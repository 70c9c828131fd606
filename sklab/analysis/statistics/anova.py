"""Analysis of variance of factorial and crossed designs, with the seed as block: which factors matter, and how much.

Every run has a value, a level of each factor and a seed. The model is additive in seeds, main effects and two-way
interactions; further differences between cells are "higher order". The error is the interaction of cells and seeds, as
in `blocks`. Sums of squares are of type II: a term against all others that do not contain it, by least squares. In a
balanced design this is the exact, classical analysis whatever the type; where runs or cells are missing the terms
overlap, their sums do not add up, and `note` says so. Shares are of the spread that remains once seeds are taken out.

Sources: F. Yates, The analysis of multiple classifications with unequal numbers in the different classes, JASA 29
(1934), 51-66; J. H. Steiger, Beyond the F test, Psychological Methods 9 (2004), 164-182 (intervals); S. W. Greenhouse
and S. Geisser, On methods in the analysis of profile data, Psychometrika 24 (1959), 95-112 (rows that vary together).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.special import fdtr, fdtrc, ncfdtr

from sklab.analysis.statistics.intervals import LEVEL, FloatArray, IntArray, rounding_variance

HIGHER = "higher order"
_PRECISION = 1e-9  # of a noncentrality


@dataclass(frozen=True)
class Effect:
    """One line of the analysis. `f`, `p` and the intervals are NaN where there is no error to test with.

    factors         the term: one name, two for an interaction, none for all terms of higher order
    squares, df     sum of squares and degrees of freedom
    share           of the squares that remain after the seeds (eta squared)
    share_low, share_high
                    95 % interval of the true share, to which chance adds nothing (omega squared): from the noncentral
                    F, with the other effects at their estimates. It is too wide rather than too narrow where several
                    effects are large, and can be 0 to 0
    size, low, high the true share of this term against the error alone, estimated, and its 95 % interval (partial omega
                    squared, at least 0; the interval from the noncentral F can be 0 to 0)
    """

    factors: tuple[str, ...]
    squares: float
    df: int
    f: float
    p: float
    share: float
    share_low: float
    share_high: float
    size: float
    low: float
    high: float

    @property
    def name(self) -> str:
        """The factors joined by ×; HIGHER for all terms of higher order."""
        return " × ".join(self.factors) or HIGHER


@dataclass(frozen=True)
class Anova:
    """The analysis: `effects` in the order of the factors, `squares` and `df` of the error, and the number `n` of runs.

    combinations  number of combinations of levels and seeds that have a run
    full          number of all combinations of the levels and seeds that occur
    """

    effects: tuple[Effect, ...]
    squares: float
    df: int
    n: int
    combinations: int
    full: int

    @property
    def balanced(self) -> bool:
        """Whether every combination of levels and seeds has one run."""
        return self.n == self.combinations == self.full


@dataclass(frozen=True)
class _Error:
    squares: float
    df: int
    runs: int
    total: float
    total_df: int
    rounding: float  # the variance that rounding alone may leave

    @property
    def variance(self) -> float:
        """The variance of the runs around the means of their cell and seed. NaN without degrees of freedom, and where
        the squares are no larger than rounding explains."""
        testable = self.df > 0 and self.squares > self.df * self.rounding
        return self.squares / self.df if testable else math.nan

    def noncentrality(self, squares: float, df: int) -> float:
        """The estimated noncentrality of a term with these squares, at least 0; NaN where there is no error to test
        with."""
        return float(np.maximum(squares / self.variance - df, 0))


def analyse(
    values: npt.ArrayLike, factors: Mapping[str, Sequence[str]], seeds: Sequence[int], *, interactions: bool = True
) -> Anova:
    """The analysis of `values` (runs), given each run's level of every factor and its seed. NaN marks a missing run.

    Without `interactions` these are assumed to be zero, as a design of resolution III requires, and count as higher
    order. Factors of one level have no line, nor have terms that these cells can't tell from others (no degree of
    freedom left).
    """
    y = np.asarray(values, dtype=np.float64)
    there = ~np.isnan(y)
    levels = {name: _codes(np.asarray(labels)[there]) for name, labels in factors.items()}
    block, y = _indicators(_codes(np.asarray(seeds)[there])), y[there]
    sizes = (1, 2) if interactions else (1,)
    terms = {term: _columns(levels, term) for size in sizes for term in combinations(levels, size)}
    cells = _indicators(_joint(list(levels.values()), len(y)))
    left, rank = _fit(y, [block, cells])
    total, blocks = _fit(y, [block])
    error = _Error(left, len(y) - rank, len(y), total, len(y) - blocks, rounding_variance(y))
    sums = {term: _type_two(y, block, terms, term) for term in terms}
    sums[()] = _gain(y, [block, *terms.values()], cells)
    effects = tuple(_effect(term, squares, df, error) for term, (squares, df) in sums.items() if df > 0)
    return Anova(effects, error.squares, error.df, len(y), *_combinations(levels, np.asarray(seeds)[there]))


def rows_differ(values: npt.ArrayLike) -> float:
    """p of the hypothesis that the rows of `values` (rows, seeds) have equal means: F with the seeds as blocks. Its
    degrees of freedom are corrected after Greenhouse and Geisser, since rows from one network vary together.

    Rows with a gap are left out. NaN for fewer than two rows or seeds, and where there is no error to test with.
    """
    table = np.asarray(values, dtype=np.float64)
    table = table[~np.isnan(table).any(axis=1)]
    rows, seeds = table.shape
    if min(rows, seeds) < 2:
        return math.nan
    means = table.mean(axis=1, keepdims=True) - table.mean()
    residuals = table - means - table.mean(axis=0)
    squares = float((residuals**2).sum())
    if squares <= table.size * rounding_variance(table):
        return math.nan
    products = residuals.T @ residuals  # (seeds, seeds): with the eigenvalues that the covariance of the rows has
    df = squares**2 / float((products**2).sum())  # from 1 to rows - 1
    f = seeds * float((means**2).sum()) * (seeds - 1) / squares
    return float(fdtrc(df, df * (seeds - 1), f))


def _codes(labels: npt.NDArray[np.generic]) -> IntArray:
    return np.asarray(np.unique(labels, return_inverse=True)[1])


def _joint(codes: Sequence[IntArray], runs: int) -> IntArray:
    rows = np.column_stack([np.zeros(runs, int), *codes])
    return np.asarray(np.unique(rows, axis=0, return_inverse=True)[1])


def _indicators(codes: IntArray) -> FloatArray:
    return np.asarray(codes[:, None] == np.unique(codes), dtype=np.float64)


def _columns(levels: Mapping[str, IntArray], term: tuple[str, ...]) -> FloatArray:
    codes = [levels[name] for name in term]
    return _indicators(_joint(codes, len(codes[0])))


def _fit(y: FloatArray, columns: Sequence[FloatArray]) -> tuple[float, int]:
    """Residual sum of squares and rank of the least-squares fit."""
    design = np.hstack(columns)
    coefficients, _, rank, _ = np.linalg.lstsq(design, y, rcond=1e-10)
    return float(((y - design @ coefficients) ** 2).sum()), int(rank)


def _gain(y: FloatArray, without: Sequence[FloatArray], term: FloatArray) -> tuple[float, int]:
    """The sum of squares and the degrees of freedom that a term adds to a model."""
    (before, small), (after, large) = _fit(y, without), _fit(y, [*without, term])
    return max(before - after, 0.0), large - small


def _type_two(
    y: FloatArray, block: FloatArray, terms: Mapping[tuple[str, ...], FloatArray], term: tuple[str, ...]
) -> tuple[float, int]:
    others = [columns for other, columns in terms.items() if not set(term) <= set(other)]
    return _gain(y, [block, *others], terms[term])


def _effect(term: tuple[str, ...], squares: float, df: int, error: _Error) -> Effect:
    f = squares / df / error.variance
    share = squares / error.total if error.total > 0 else math.nan
    others = error.noncentrality(error.total - error.squares - squares, error.total_df - error.df - df)
    limits = [_noncentrality(f, df, error.df, (1 + side * LEVEL) / 2) for side in (1, -1)]
    within = [_part(limit, others + error.runs) for limit in limits]
    size = [_part(noncentrality, error.runs) for noncentrality in (error.noncentrality(squares, df), *limits)]
    return Effect(term, squares, df, f, float(fdtrc(df, max(error.df, 1), f)), share, *within, *size)


def _part(noncentrality: float, rest: float) -> float:
    return noncentrality / (noncentrality + rest)


def _noncentrality(f: float, df: int, error_df: int, probability: float) -> float:
    """The noncentrality at which an F below `f` has this probability; 0 where even the central F is rarer.

    By bisection: SciPy's own inverse ends at 10,000 without a word.
    """
    if math.isnan(f):
        return math.nan
    if fdtr(df, error_df, f) <= probability:
        return 0.0
    low, high = 0.0, 1.0
    while ncfdtr(df, error_df, high, f) > probability:
        low, high = high, 2 * high
    while high - low > _PRECISION * high:
        middle = (low + high) / 2
        low, high = (middle, high) if ncfdtr(df, error_df, middle, f) > probability else (low, middle)
    return high


def _combinations(levels: Mapping[str, IntArray], seeds: npt.NDArray[np.generic]) -> tuple[int, int]:
    """The number of combinations of levels and seeds that have a run, and of all."""
    codes = [*levels.values(), _codes(seeds)]
    return len(np.unique(_joint(codes, len(seeds)))), math.prod(len(np.unique(levels_of)) for levels_of in codes)
