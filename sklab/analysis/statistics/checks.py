"""Tests of the assumptions of the pooled comparison, equal variances and additivity, and the choice of the method.

Both tests work on complete tables (..., cells, seeds) from which the effects of the seeds are removed. They hold their
level for normal errors at any number of seeds; Levene's and Bartlett's tests do not at three. One or two cells that are
plainly noisier than the others are set aside: the others are checked and pooled without them.

Sources: W. G. Cochran, The distribution of the largest of a set of estimated variances as a fraction of their total,
Annals of Eugenics 11 (1941), 47-52; J. W. Tukey, One degree of freedom for non-additivity, Biometrics 5 (1949),
232-242.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import betaincc, fdtrc

from sklab.analysis.statistics.blocks import fit
from sklab.analysis.statistics.intervals import BoolArray, FloatArray, IntArray, rounding_variance
from sklab.analysis.statistics.unpaired import Further

Method = Literal["pooled", "paired"]

FAILS_BELOW = 0.01  # p; a check of few seeds has little power, and only below this is it taken seriously
MOST_NOISY = 2  # cells that are set aside; with more of them, a table has no common variance


@dataclass(frozen=True)
class Check:
    """The `statistic` and the `p` of the test of an assumption; p is NaN where the table is too small for the test."""

    statistic: FloatArray
    p: FloatArray

    @property
    def fails(self) -> BoolArray:
        """True where the data speak against the assumption."""
        return np.asarray(self.p < FAILS_BELOW)

    @property
    def made(self) -> BoolArray:
        """True where the table was large enough to test the assumption."""
        return ~np.isnan(self.p)


@dataclass(frozen=True)
class Choice:
    """The method for a table, the reason for it (a clause), and its checks: None where they could not be made.

    missing  runs that are gaps in the fit, of those `planned`; the checks then use the cells without a gap, or the
             seeds without a gap, whichever are more runs
    further  the baseline's runs with seeds that no other cell has, and whether they count; None without such runs
    noisy    rows of a pooled table that are plainly noisier than the others. The checks are of the other rows. Each
             noisy row is compared by itself, unless it is the baseline, which has a variance of its own anyway
    """

    method: Method
    why: str
    variances: Check | None = None
    additivity: Check | None = None
    missing: int = 0
    planned: int = 0
    noisy: tuple[int, ...] = ()
    further: Further | None = None


def equal_variances(values: FloatArray) -> Check:
    """Cochran's test. The statistic is the largest share that one cell has in all squared residuals.

    The share of one cell follows a beta distribution; p is its tail times the number of cells. Two cells have no test:
    their residuals are equal but for the sign.
    """
    cells, seeds = values.shape[-2:]
    fitted = fit(values)
    share = fitted.squares.max(-1) / np.where(fitted.variance > 0, fitted.variance * fitted.df, np.nan)
    if cells < 3:
        return Check(share, np.full(share.shape, np.nan))
    scaled = np.minimum(share * cells / (cells - 1), 1.0)
    tail = betaincc((seeds - 1) / 2, (cells - 2) * (seeds - 1) / 2, scaled)
    return Check(share, np.minimum(cells * tail, 1.0))


def noisiest(values: FloatArray) -> IntArray:
    """The row with the largest squared residuals, to which the statistic of `equal_variances` belongs."""
    return np.asarray(fit(values).squares.argmax(-1))


def additivity(values: FloatArray) -> Check:
    """Tukey's test whether cells differ more, or less, under seeds that are hard for all of them: F(1, df - 1)."""
    fitted = fit(values)
    cell = values.mean(-1) - values.mean((-2, -1))[..., None]
    seed = values.mean(-2) - values.mean((-2, -1))[..., None]
    size = (cell**2).sum(-1) * (seed**2).sum(-1)
    product = np.einsum("...cs,...c,...s->...", values, cell, seed)
    if np.any(fitted.df < 2):
        return Check(np.full(size.shape, np.nan), np.full(size.shape, np.nan))
    with np.errstate(invalid="ignore", divide="ignore"):
        explained = product**2 / size
        left = np.maximum(fitted.variance * fitted.df - explained, 0) / (fitted.df - 1)
        statistic = explained / left
    return Check(statistic, np.asarray(fdtrc(1, fitted.df - 1, statistic)))


def choose(values: FloatArray) -> Choice:
    """The method for `values` (cells, seeds), of which no row and no column is all NaN.

    Where the test of equal variances fails, the noisiest row is set aside and the others are tested again, at most
    MOST_NOISY times.
    """
    first = choice = _choose(values)
    noisy: list[int] = []
    rows = np.arange(len(values))
    while _unequal(choice) and len(noisy) < MOST_NOISY and len(rows) > 2:
        cells, seeds = _whole(~np.isnan(values[rows]))
        row = rows[cells][int(noisiest(values[np.ix_(rows[cells], seeds)]))]
        noisy, rows = [*noisy, int(row)], rows[rows != row]
        choice = _choose(values[rows])
    if choice.method == "paired":
        return first
    aside = f" once {len(noisy)} noisy {'cell is' if len(noisy) == 1 else 'cells are'} set aside" if noisy else ""
    missing = int(np.isnan(values).sum())
    why = f"{_missing(values) if missing else 'complete'}, and {_passed(choice)}{aside}"
    return replace(choice, why=why, missing=missing, planned=values.size, noisy=tuple(sorted(noisy)))


def _choose(values: FloatArray) -> Choice:
    """The method for the rows of `values`, none of which is set aside. The reason for `pooled` is still ""."""
    there = ~np.isnan(values)
    if min(values.shape) < 2:
        return Choice("paired", "a spread takes at least two cells and two seeds")
    fitted = fit(values)
    several = there[there.sum(1) > 1].astype(float)
    if not fitted.df or not (several @ several.T).all():
        return Choice("paired", f"{_missing(values)}, so that not all cells can be compared on common seeds")
    if fitted.variance <= rounding_variance(values):
        return Choice("paired", "the cells differ by the same with every seed")
    variances, additivity = _checks(values[np.ix_(*_whole(there))])
    tests = {"equal variances": variances, "additivity": additivity}
    failed = [f"{name} (p = {float(check.p):.2g})" for name, check in tests.items() if check and check.fails]
    if failed:
        return Choice("paired", f"the data speak against {' and '.join(failed)}", variances, additivity)
    return Choice("pooled", "", variances, additivity)


def _unequal(choice: Choice) -> bool:
    return choice.variances is not None and bool(choice.variances.fails)


def _missing(values: FloatArray) -> str:
    missing = int(np.isnan(values).sum())
    return f"{missing} of {values.size} runs {'is' if missing == 1 else 'are'} missing"


def _passed(choice: Choice) -> str:
    """The clause on the checks of a pooled table; a check that could not be made has not passed."""
    checks = {"equal variances": choice.variances, "additivity": choice.additivity}
    made = [name for name, check in checks.items() if check is not None and check.made]
    if not made:
        return "the assumptions could not be checked"
    return "neither check of the assumptions fails" if len(made) == 2 else f"the one check made, of {made[0]}, passes"


def _whole(there: BoolArray) -> tuple[BoolArray, BoolArray]:
    """The cells and seeds of the larger one of two tables without gaps: one has all seeds, the other all cells."""
    of_cells, of_seeds = np.asarray(there.all(1)), np.asarray(there.all(0))
    if of_cells.sum() * there.shape[1] > of_seeds.sum() * there.shape[0]:
        return of_cells, np.ones_like(of_seeds)
    return np.ones_like(of_cells), of_seeds


def _checks(whole: FloatArray) -> tuple[Check | None, Check | None]:
    if min(whole.shape) < 2:
        return None, None
    return equal_variances(whole), additivity(whole)
