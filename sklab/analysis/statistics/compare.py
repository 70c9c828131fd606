"""Every cell against the baseline: which method the data allow, and what it says.

`pooled`: the table is a randomised block design and its checks do not fail. Simultaneous intervals and adjusted p of
Dunnett's type, with a variance of its own for the baseline (`blocks`). Missing runs are gaps in the fit by least
squares.

`paired`: otherwise, also where two cells of several runs share no seed. Paired t for each cell on the seeds it shares
with the baseline, Welch's t where fewer than two are shared; p adjusted by Holm, intervals by Bonferroni. Holm rejects
a little more than Bonferroni, so an adjusted p just below 0.05 can stand beside an interval that just holds zero: the p
decides.

Two-sided throughout: whether more is better is not known here. Family-wise errors, coverages and power of the whole
procedure, checks included, are in docs/statistics.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from sklab.analysis.statistics import blocks, checks, dunnett, intervals, planning
from sklab.analysis.statistics.checks import Check
from sklab.analysis.statistics.intervals import BoolArray, Difference, FloatArray

Method = Literal["pooled", "paired"]
Test = Literal["block", "contrast", "paired t", "Welch", ""]

BASELINE = "the baseline"
NO_BASELINE = "the baseline has no complete run"
NO_RUN = "no complete run"
FEW = "fewer than two seeds to compare"
EQUAL = "no spread to test with: the same number with every seed"


@dataclass(frozen=True)
class Versus:
    """One row minus the baseline. Numbers are NaN where there is nothing to say, and `reason` tells why.

    n             seeds behind the difference
    difference    mean difference, in the unit of the values
    half          half width of its simultaneous 95 % interval: those of all rows hold together
    p, adjusted   two-sided; `adjusted` for all rows of the table, below 0.05 means told apart
    df            degrees of freedom of the t behind `half`
    test          "block" (pooled), "paired t", "Welch", or "" where there is none
    effect        difference in standard deviations of one seed's difference, with Hedges' correction
    detectable    the true difference that these seeds find with 80 % probability
    needed        seeds in all that find the observed difference with 80 % probability; None: none up to 1000
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


@dataclass(frozen=True)
class Choice:
    """How a table is compared, why (a clause), and the checks behind it: None where they could not be made.

    missing  runs that are gaps in the fit, of those `planned`: the checks are then of the cells, or of the seeds, that
             have no gap, whichever leaves more runs
    """

    method: Method
    why: str
    variances: Check | None = None
    additivity: Check | None = None
    missing: int = 0
    planned: int = 0


@dataclass(frozen=True)
class Comparisons:
    """The table's method, and one `Versus` for each of its rows, in their order."""

    choice: Choice
    rows: tuple[Versus, ...]


def compare(values: npt.ArrayLike, baseline: int) -> Comparisons:
    """Compare the rows of `values` (cells, seeds), NaN for a missing run, with row `baseline`.

    Rows and seeds without any run are left aside; whatever else is missing makes the table incomplete.
    """
    table = np.asarray(values, dtype=np.float64)
    rows, seeds = (np.asarray((~np.isnan(table)).any(axis=axis)) for axis in (1, 0))
    tested = table[np.ix_(rows, seeds)]
    choice = choose(tested)
    if not rows[baseline]:
        return Comparisons(choice, tuple(Versus(reason=NO_BASELINE if row else NO_RUN) for row in rows))
    compared = iter((_pooled if choice.method == "pooled" else _paired)(tested, int(rows[:baseline].sum())))
    return Comparisons(choice, tuple(next(compared) if row else Versus(reason=NO_RUN) for row in rows))


def all_pairs(values: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Every row of `values` (cells, seeds) minus every other: mean differences and two-sided p, both (cells, cells).

    By the method that `compare` would choose, p not adjusted; NaN where there is no test.
    """
    table = np.asarray(values, dtype=np.float64)
    rows, seeds = (np.asarray((~np.isnan(table)).any(axis=axis)) for axis in (1, 0))
    tested = table[np.ix_(rows, seeds)]
    difference, p = _pooled_pairs(tested) if choose(tested).method == "pooled" else _single_pairs(tested)
    np.fill_diagonal(p, np.nan)
    mean, everywhere = np.full((len(table), len(table)), np.nan), np.ix_(rows, rows)
    all_p = mean.copy()
    mean[everywhere], all_p[everywhere] = difference, p
    return mean, all_p


def _single_pairs(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    found, _ = intervals.mean_difference(values[:, None], values[None])
    return found.mean, found.p


def _pooled_pairs(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    if np.isnan(values).any():
        found = [blocks.standard_errors(values, at) for at in range(len(values))]
        p, difference = np.array([blocks.single_p(errors) for errors in found]), found[0].difference
    else:
        p, difference = blocks.pairs_p(values), values.mean(1)
    either = np.asarray(np.fmax(p, p.T))  # either side may be the one with a variance of its own
    return difference[:, None] - difference, either


def choose(values: FloatArray) -> Choice:
    """The method for `values` (cells, seeds), of which no row and no column is all NaN."""
    there = ~np.isnan(values)
    missing = int((~there).sum())
    told = f"{missing} of {values.size} runs are missing" if missing != 1 else f"1 of {values.size} runs is missing"
    if min(values.shape) < 2:
        return Choice("paired", "a spread takes at least two cells and two seeds")
    fitted = blocks.fit(values)
    several = there[there.sum(1) > 1].astype(float)
    if not fitted.df or not (several @ several.T).all():
        return Choice("paired", f"{told}, so that not all cells can be compared on common seeds")
    if fitted.variance <= intervals.rounding_variance(values):
        return Choice("paired", "the cells differ by the same with every seed")
    variances, additivity = _checks(values[np.ix_(*_whole(there))])
    tests = {"equal variances": variances, "additivity": additivity}
    failed = [f"{name} (p = {float(check.p):.2g})" for name, check in tests.items() if check and check.fails]
    if failed:
        return Choice("paired", f"the data speak against {' and '.join(failed)}", variances, additivity)
    why = f"{told if missing else 'complete'}, and neither check of the assumptions fails"
    return Choice("pooled", why, variances, additivity, missing, values.size)


def _whole(there: BoolArray) -> tuple[BoolArray, BoolArray]:
    """The cells and seeds of the larger table without gaps: of all seeds, or of all cells."""
    of_cells, of_seeds = np.asarray(there.all(1)), np.asarray(there.all(0))
    if of_cells.sum() * there.shape[1] > of_seeds.sum() * there.shape[0]:
        return of_cells, np.ones_like(of_seeds)
    return np.ones_like(of_cells), of_seeds


def _checks(whole: FloatArray) -> tuple[Check | None, Check | None]:
    if min(whole.shape) < 2:
        return None, None
    return checks.equal_variances(whole), checks.additivity(whole)


def _pooled(values: FloatArray, baseline: int) -> list[Versus]:
    errors = blocks.standard_errors(values, baseline)
    family, df, correlation = int(errors.comparisons), float(errors.df), float(errors.correlation)
    halves, p, adjusted = blocks.half_widths(errors), blocks.single_p(errors), blocks.p_values(errors)

    def critical(df: float) -> float:
        return dunnett.critical(family, df, correlation=correlation)

    rows = [
        Versus(int(n), float(d), reason=FEW) if n else Versus(0, reason=FEW)
        for n, d in zip(errors.n, errors.difference, strict=True)
    ]
    rows[baseline] = Versus(int(errors.n[baseline]), reason=BASELINE)
    for row in np.flatnonzero(~np.isnan(p)):
        n, d, error, half = int(errors.n[row]), float(errors.difference[row]), float(errors.error[row]), halves[row]
        seeds = max(n, 2)  # a cell may share one seed only and be compared by way of the others
        effect = planning.hedges(d, error * math.sqrt(seeds), df)
        planned = _planned(d, error, seeds, df, critical)
        rows[row] = Versus(n, d, float(half), float(p[row]), float(adjusted[row]), df, "block", effect, *planned)
    return rows


def _paired(values: FloatArray, baseline: int) -> list[Versus]:
    first, _ = intervals.mean_difference(values, values[baseline])
    first.p[baseline] = np.nan
    tests = max(int(np.count_nonzero(~np.isnan(first.p))), 1)
    level, adjusted = 1 - (1 - intervals.LEVEL) / tests, intervals.holm(first.p)
    found, shared = intervals.mean_difference(values, values[baseline], level)
    rows = [_pair(found, row, float(adjusted[row]), bool(shared[row]), level) for row in range(len(values))]
    rows[baseline] = Versus(int(found.n[baseline]), reason=BASELINE)
    return rows


def _pair(found: Difference, row: int, adjusted: float, shared: bool, level: float) -> Versus:
    n, difference = int(found.n[row]), float(found.mean[row])
    half, p, df = float(found.half[row]), float(found.p[row]), float(found.df[row])
    if math.isnan(half):
        return Versus(n, difference, p=p, adjusted=adjusted, reason=FEW if n < 2 else EQUAL)
    error = half / _critical_t(df, level)
    effect = planning.hedges(difference, error * math.sqrt(n), df)
    planned = _planned(difference, error, n, df, partial(_critical_t, level=level))
    return Versus(n, difference, half, p, adjusted, df, "paired t" if shared else "Welch", effect, *planned)


def _critical_t(df: float, level: float = intervals.LEVEL) -> float:
    """The |t| of one two-sided comparison that is exceeded by chance with probability 1 - `level`."""
    return float(stdtrit(df, 0.5 + level / 2))


def _planned(
    difference: float, error: float, n: int, df: float, critical: planning.Critical
) -> tuple[float, int | None]:
    sd = error * math.sqrt(n)
    return planning.detectable(sd, n, df, critical), planning.seeds_needed(difference, sd, n, df, critical)
