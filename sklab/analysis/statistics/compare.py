"""The comparison of every cell with the baseline, by the method that the data allow.

`pooled`: the table is a randomised block design and its checks do not fail. Simultaneous intervals and adjusted p are
of Dunnett's type, with a variance of its own for the baseline (`blocks`). Missing runs are gaps in the fit by least
squares. One or two cells that are plainly noisier than the others are set apart, each with a paired t test of its own;
of c comparisons each of these is tested at alpha / c, and the others together at the rest of alpha.

`paired`: all other tables, also those in which two cells of several runs share no seed. Each cell has a paired t test
over the seeds that it shares with the baseline, or Welch's where fewer than two are shared; p is adjusted by Holm,
intervals by Bonferroni. Holm rejects a little more than Bonferroni, so an adjusted p just below 0.05 can stand beside
an interval that just contains zero; the p decides.

All tests are two-sided, and differences are those of the values as they were measured. Family-wise errors, coverages
and power of the whole procedure, checks included, are in benchmarks/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from sklab.analysis.statistics import blocks, dunnett, intervals, planning, unpaired
from sklab.analysis.statistics.checks import Choice, choose
from sklab.analysis.statistics.intervals import Difference, Estimate, FloatArray
from sklab.spec.study.metrics import Direction

Test = Literal["block", "one-way", "contrast", "paired t", "Welch", ""]
Decision = Literal["lower", "higher", "equivalent", "not higher", "not lower", "undecided", "no test"]

BASELINE = "the baseline"
NO_BASELINE = "the baseline has no complete run"
NO_RUN = "no complete run"
FEW = "fewer than two seeds to compare"
EQUAL = "no spread to test with: the same number with every seed"


@dataclass(frozen=True)
class Versus:
    """One row minus the baseline. Numbers that can't be computed are NaN, and `reason` tells why.

    n             seeds behind the difference
    difference    mean difference, in the unit of the values
    half          half width of its simultaneous 95 % interval (all rows together)
    p, adjusted   two-sided; `adjusted` for all rows of the table, below 0.05 means told apart
    df            degrees of freedom of the t behind `half`
    test          "block" (pooled), "one-way" (the same without blocks), "contrast", "paired t", "Welch", or "" where
                  there is none
    effect        difference in standard deviations of one seed's difference, with Hedges' correction
    detectable    the true difference that these seeds find with 80 % probability
    needed        seeds in all that find the observed difference with 80 % probability; None: more than 1000
    error         standard error of the difference
    """

    n: int = 0
    difference: float = math.nan
    half: float = math.nan
    p: float = math.nan
    adjusted: float = math.nan
    df: float = math.nan
    test: Test = ""
    effect: float = math.nan
    detectable: float = math.nan
    needed: int | None = None
    reason: str = ""
    error: float = math.nan

    def verdict(self, margin: float = math.nan, better: Direction = "lower") -> Decision:
        """The verdict on the true difference. To the user, a difference of at most `margin` makes no difference (NaN:
        no margin is stated), and a larger one matters if it is not in the direction of `better` values."""
        if math.isnan(self.adjusted):
            return "no test"
        if self.adjusted < intervals.ALPHA:
            return "lower" if self.difference < 0 else "higher"
        if abs(self.difference) + self.half < margin:
            return "equivalent"
        if better == "lower":
            return "not higher" if self.difference + self.half < margin else "undecided"
        return "not lower" if self.half - self.difference < margin else "undecided"

    @property
    def missing(self) -> int | None:
        """The seeds to add to a row that is not told apart, until the observed difference would be found with 80 %
        probability: at least one, as those at hand were not enough. None: more than 1000 seeds in all."""
        return None if self.needed is None else max(self.needed - self.n, 1)


@dataclass(frozen=True)
class Comparisons:
    """The table's method, and one `Versus` for each of its rows, in their order."""

    choice: Choice
    rows: tuple[Versus, ...]


def compare(
    values: npt.ArrayLike, baseline: int, alpha: float = intervals.ALPHA, *, further: bool = False
) -> Comparisons:
    """Compare the rows of `values` (cells, seeds), NaN for a missing run, with row `baseline`. Intervals, `detectable`
    and `needed` are those of tests at level `alpha`. `further` says whether runs of the baseline count with seeds that
    no other row has (`unpaired`).

    Rows and seeds without any run are left out; any other missing run makes the table incomplete.
    """
    table, alone = np.asarray(values, dtype=np.float64), np.empty(0)
    if further:
        table, alone = unpaired.split(table, baseline)
    rows, seeds = (np.asarray((~np.isnan(table)).any(axis=axis)) for axis in (1, 0))
    tested = table[np.ix_(rows, seeds)]
    choice, at = choose(tested), int(rows[:baseline].sum())
    of_table = replace(choice, noisy=tuple(np.flatnonzero(rows)[list(choice.noisy)].tolist()))
    if not rows[baseline]:
        return Comparisons(of_table, tuple(Versus(reason=NO_BASELINE if row else NO_RUN) for row in rows))
    apart = [row for row in choice.noisy if row != at]
    if alone.size:
        judged = _judged(tested, at, choice, alone.size)
        of_table, alone = replace(of_table, further=judged), alone if judged.counts else alone[:0]
    pooled = choice.method == "pooled"
    compared = iter(_pooled(tested, at, apart, alpha, alone) if pooled else _paired(tested, at, alpha))
    return Comparisons(of_table, tuple(next(compared) if row else Versus(reason=NO_RUN) for row in rows))


def means(values: npt.ArrayLike, choice: Choice | None) -> Estimate:
    """The mean of every row of `values` (cells, seeds) over new seeds, with its 95 % interval.

    The spread is that of all rows (`blocks.mean_halves`) where `choice` is the pooled method. Otherwise, and for a
    noisy row and a baseline with further runs, it is that of the row's own runs.
    """
    table = np.asarray(values, dtype=np.float64)
    estimate = intervals.mean_interval(table)
    if choice is None or choice.method == "paired":
        return estimate
    pooled_rows = (estimate.n > 0) & ~np.isin(np.arange(len(table)), choice.noisy)
    half = estimate.half.copy()
    there = ~np.isnan(table)
    of_one_row = (there.sum(0) == 1) & (choice.further is not None)
    half[pooled_rows] = blocks.mean_halves(table[np.ix_(pooled_rows, ~of_one_row)])
    half = np.where(there[:, of_one_row].any(1), estimate.half, half)
    return replace(estimate, half=np.where(estimate.n > 1, half, np.nan))


def _judged(values: FloatArray, baseline: int, choice: Choice, runs: int) -> unpaired.Further:
    """Whether the further runs of the baseline count: noisy rows have no part in the test of the seeds."""
    if choice.method == "paired":
        return unpaired.Further(runs, math.nan, "the table is not pooled")
    rows = np.setdiff1d(np.arange(len(values)), [row for row in choice.noisy if row != baseline])
    return unpaired.judge(values[rows], int((rows < baseline).sum()), runs)


def _pooled(values: FloatArray, baseline: int, apart: Sequence[int], alpha: float, further: FloatArray) -> list[Versus]:
    """The comparisons of the rows of `apart` one by one, and of the others as blocks, or one-way with `further` runs of
    the baseline; each comparison has an equal share of alpha (Bonferroni)."""
    pooled_rows = np.setdiff1d(np.arange(len(values)), apart)
    together, at = values[pooled_rows], int((pooled_rows < baseline).sum())
    one_way = partial(unpaired.standard_errors, further=further) if further.size else blocks.standard_errors
    errors: blocks.Errors = one_way(together, at, apart=len(apart) > 0)
    p = intervals.mean_difference(values, values[baseline])[0].p[list(apart)]
    tests = max(int(errors.comparisons) + int(np.count_nonzero(~np.isnan(p))), 1)
    rows = dict(zip(pooled_rows.tolist(), _blocks(errors, int(errors.comparisons) / tests, alpha), strict=True))
    rows[baseline] = Versus(rows[baseline].n, reason=BASELINE)
    rows.update(zip(apart, _singly(values, baseline, apart, np.minimum(p * tests, 1), alpha / tests), strict=True))
    return [rows[row] for row in range(len(values))]


def _blocks(errors: blocks.Errors, part: float, alpha: float) -> list[Versus]:
    """The comparisons of a block design, tested together at this part of alpha."""
    level, df = 1 - alpha * part, float(errors.df)
    halves, p = blocks.half_widths(errors, level), blocks.single_p(errors)
    adjusted = np.minimum(blocks.p_values(errors) / (part or 1), 1)

    def critical(df: float) -> float:
        return dunnett.critical(int(errors.comparisons), df, level, float(errors.correlation))

    rows = [
        Versus(int(n), float(difference), reason=FEW) if n else Versus(0, reason=FEW)
        for n, difference in zip(errors.n, errors.difference, strict=True)
    ]
    for row in np.flatnonzero(~np.isnan(p)).tolist():
        n, difference, error = int(errors.n[row]), float(errors.difference[row]), float(errors.error[row])
        effect = planning.hedges(difference, errors.seed_sd(row), df)
        needed = planning.fewest_seeds(errors.growth(row), critical)
        half, of_row, of_all = float(halves[row]), float(p[row]), float(adjusted[row])
        smallest = planning.detectable(error * math.sqrt(max(n, 2)), max(n, 2), df, critical)
        rows[row] = Versus(n, difference, half, of_row, of_all, df, errors.test, effect, smallest, needed, error=error)
    return rows


def _paired(values: FloatArray, baseline: int, alpha: float) -> list[Versus]:
    p = intervals.mean_difference(values, values[baseline])[0].p
    p[baseline] = np.nan
    tests = max(int(np.count_nonzero(~np.isnan(p))), 1)
    rows = _singly(values, baseline, range(len(values)), intervals.holm(p), alpha / tests)
    rows[baseline] = Versus(rows[baseline].n, reason=BASELINE)
    return rows


def _singly(values: FloatArray, baseline: int, rows: Sequence[int], adjusted: FloatArray, alpha: float) -> list[Versus]:
    """The comparisons of `rows` one by one, each tested at `alpha`."""
    level = 1 - alpha
    differences, paired = intervals.mean_difference(values[list(rows)], values[baseline], level)
    return [
        _pair(differences, at, float(adjusted[at]), "paired t" if paired[at] else "Welch", level)
        for at in range(len(rows))
    ]


def _pair(differences: Difference, row: int, adjusted: float, test: Test, level: float) -> Versus:
    n, difference = int(differences.n[row]), float(differences.mean[row])
    half, p, df = float(differences.half[row]), float(differences.p[row]), float(differences.df[row])
    if math.isnan(half):
        return Versus(n, difference, p=p, adjusted=adjusted, reason=FEW if n < 2 else EQUAL)
    error = half / _critical_t(df, level)
    effect = planning.hedges(difference, error * math.sqrt(n), df)
    planned = _planned(difference, error, n, df, partial(_critical_t, level=level))
    return Versus(n, difference, half, p, adjusted, df, test, effect, *planned, error=error)


def _critical_t(df: float, level: float = intervals.LEVEL) -> float:
    """The |t| of one two-sided comparison that is exceeded by chance with probability 1 - `level`."""
    return float(stdtrit(df, 0.5 + level / 2))


def _planned(
    difference: float, error: float, n: int, df: float, critical: planning.Critical
) -> tuple[float, int | None]:
    sd = error * math.sqrt(n)
    return planning.detectable(sd, n, df, critical), planning.seeds_needed(difference, sd, n, df, critical)
