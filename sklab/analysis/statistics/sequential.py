"""Group-sequential comparisons: after every seed, which of them need another one.

A comparison is a cell against the baseline, or a planned question; its cells get seeds together. At each look every
comparison in the race is tested on the seeds that its cells have. It leaves the race with the verdict

    better, worse        if its p falls below the level of this look: alpha is shared among the comparisons after Holm
                         and spent over the looks (`boundaries`); all claims of a study together err with 5 % at most
    equal within width   if its interval, which contains zero, is no wider than the stated width
    out of reach         if no width is stated and the data so far predict that the largest number of seeds would tell
                         it apart with a probability below HOPELESS; this rule ends comparisons and makes no claim
    no test              if its cells share fewer than two seeds

When seeds or runs are used up, the others are `undecided`, or `no test` where there is no spread. A decision depends
only on the values, seed by seed. Arrays are (..., cells, seeds); leading axes are independent studies.
Measured errors and costs are in benchmarks/statistics.md.

Sources: W. Maurer, F. Bretz, Multiple testing in group sequential trials using graphical approaches, Statistics in
Biopharmaceutical Research 5 (2013), 311-320 (Holm with spending); C. Jennison, B. W. Turnbull, Group Sequential
Methods with Applications to Clinical Trials, 2000, chapters 9 (repeated confidence intervals), 10 (predictive power).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from sklab.analysis.statistics import blocks, contrasts
from sklab.analysis.statistics.boundaries import nominal_levels
from sklab.analysis.statistics.intervals import ALPHA, BoolArray, FloatArray, IntArray
from sklab.spec.study.sweep import Replicates

HOPELESS = 0.07  # predictive probability below which a cell is out of reach
RACING, BETTER, WORSE, EQUAL, OUT_OF_REACH = "racing", "better", "worse", "equal within width", "out of reach"
UNDECIDED, NO_TEST, BASELINE = "undecided", "no test", ""


@dataclass(frozen=True)
class Look:
    """The comparisons (..., comparisons) after `seeds` seeds; NaN for those that have left the race.

    difference, half   difference and the half width of its interval: those of all comparisons and all looks hold
                       together with 95 %
    p, level           two-sided p, and the level below which it decides at this look
    """

    seeds: int
    difference: FloatArray
    half: FloatArray
    p: FloatArray
    level: FloatArray


@dataclass(frozen=True)
class Race:
    """A study so far: the `verdict` on every comparison (..., comparisons), the number of seeds at which it was decided
    (`decided_at`, 0: not yet), and the number of seeds that are `requested` for each cell (..., cells), ended or not.

    There are as many comparisons with the baseline as cells; the verdict on the baseline itself is BASELINE.
    """

    looks: tuple[Look, ...]
    verdict: npt.NDArray[np.str_]
    decided_at: IntArray
    requested: IntArray

    @property
    def racing(self) -> BoolArray:
        """The comparisons (..., comparisons) without a verdict so far."""
        return np.asarray(self.verdict == RACING)


@dataclass(frozen=True)
class _Results:
    """The comparisons (..., comparisons) at a look: number of seeds, difference, its error and degrees of freedom."""

    n: IntArray
    difference: FloatArray
    error: FloatArray
    df: FloatArray

    @property
    def p(self) -> FloatArray:
        """The two-sided p of each by itself."""
        return np.asarray(2 * stdtr(self.df, -np.abs(self.difference / self.error)))

    def half(self, level: float) -> FloatArray:
        """Half widths of intervals that miss the truth with probability `level`."""
        return np.asarray(stdtrit(self.df, 1 - level / 2) * self.error)


@dataclass(frozen=True)
class _Family:
    """The comparisons: the `members`, the cells of every comparison (comparisons, cells), and the function that
    compares them in a table. The comparison at `no_comparison` (the baseline with itself) does not count. `sign`
    is what a difference is multiplied by so that one below 0 is better."""

    members: BoolArray
    compare: Callable[[FloatArray], _Results]
    sign: int
    no_comparison: int | None = None

    @property
    def size(self) -> int:
        """The number of comparisons that share alpha."""
        return len(self.members) - (self.no_comparison is not None)


def race(values: FloatArray, ended: BoolArray, baseline: int, rule: Replicates, sign: int = 1) -> Race:
    """Replay every look that the ended runs allow, with comparisons of cells with the baseline.

    values   (..., cells, seeds), at least `rule.max` seeds in their order; NaN for a run without a value
    ended    of the same shape: whether a run has ended; one that ended without a value is a gap, for which no look
             waits
    sign     -1 where higher values are better
    """
    cells = np.eye(values.shape[-2], dtype=bool)

    def compare(table: FloatArray) -> _Results:
        errors = blocks.standard_errors(table, baseline)
        return _Results(errors.n, errors.difference, errors.error, errors.df[..., None])

    return _race(values, ended, _Family(cells | cells[baseline], compare, sign, baseline), rule)


def race_of_questions(
    values: FloatArray, ended: BoolArray, weights: FloatArray, rule: Replicates, sign: int = 1
) -> Race:
    """The same for the planned contrasts `weights` (questions, cells). A cell gets seeds as long as a question about it
    is open."""

    def compare(table: FloatArray) -> _Results:
        answers = contrasts.with_table_rule(contrasts.contrasts(table, weights), table, weights)
        runs = np.where(weights != 0, (~np.isnan(table)).sum(-1)[..., None, :], table.shape[-1]).min(-1)
        n = np.where(weights.any(-1), runs, 0)  # a question without any cell has no test
        return _Results(n, answers.estimate, answers.error, answers.df)

    return _race(values, ended, _Family(weights != 0, compare, sign), rule)


def _race(values: FloatArray, ended: BoolArray, family: _Family, rule: Replicates) -> Race:
    shape, comparisons = values.shape[:-2], len(family.members)
    verdict = np.where(np.arange(comparisons) == family.no_comparison, BASELINE, RACING)
    undecided = np.broadcast_to(verdict, (*shape, comparisons)).astype("<U18")
    now = Race((), undecided, np.zeros(undecided.shape, int), np.full(values.shape[:-1], rule.start, int))
    for seeds in range(rule.start, rule.max + 1):
        if seeds > rule.start:
            now = _request_one_more(now, seeds, family, rule, _is_over(now, ended))
        ready = _is_over(now, ended) & (now.requested.max(-1) == seeds)
        if not (ready[..., None] & now.racing).any():
            break
        now = _look(now, values, seeds, family, rule, ready)
    return now


def _is_over(now: Race, ended: BoolArray) -> BoolArray:
    """(...): whether every requested run of a study has ended."""
    beyond = np.arange(ended.shape[-1]) >= now.requested[..., None]
    return np.asarray((ended | beyond).all((-1, -2)))


def _request_one_more(now: Race, seeds: int, family: _Family, rule: Replicates, ready: BoolArray) -> Race:
    """Request one more seed for the cells in the race, unless the runs would exceed the budget."""
    goes_on = ready & now.racing.any(-1) & (now.requested.max(-1) == seeds - 1)
    joins = (now.racing[..., None] & family.members).any(-2)
    affordable = now.requested.sum(-1) + joins.sum(-1) <= (rule.runs or np.inf)
    requested = np.where((goes_on & affordable)[..., None] & joins, seeds, now.requested)
    ends = (goes_on & ~affordable)[..., None] & now.racing
    return _spent(replace(now, requested=requested), ends, now.looks[-1].p, seeds - 1)


def _look(now: Race, values: FloatArray, seeds: int, family: _Family, rule: Replicates, ready: BoolArray) -> Race:
    requested = np.arange(values.shape[-1]) < np.minimum(now.requested, seeds)[..., None]
    results = family.compare(np.where(requested, values, np.nan)[..., :seeds])
    racing = now.racing & ready[..., None]
    testable = racing & (results.n > 1)
    p = np.where(testable, results.p, np.nan)
    after, level = _tested(now, p, family.sign * results.difference, seeds, rule, racing)
    half = np.where(testable, results.half(_levels(rule, family.size)[seeds - rule.start]), np.nan)
    look = Look(seeds, np.where(racing, results.difference, np.nan), half, p, np.where(racing, level, np.nan))
    after = _decide(after, racing & (results.n < 2), NO_TEST, seeds)
    if rule.width is not None:
        after = _decide(after, racing & (2 * half <= rule.width), EQUAL, seeds)
    elif seeds < rule.max:
        after = _decide(after, racing & (_predicted(p, after, seeds, rule) < HOPELESS), OUT_OF_REACH, seeds)
    if seeds == rule.max:
        after = _spent(after, racing, p, seeds)
    return replace(after, looks=(*now.looks, look))


def _tested(
    now: Race, p: FloatArray, difference: FloatArray, seeds: int, rule: Replicates, racing: BoolArray
) -> tuple[Race, FloatArray]:
    """The race after Holm's steps, in which each verdict leaves its share of alpha to the cells without one; and the
    level (..., cells). A `difference` below 0 is better."""
    while True:
        level = _of_remaining(now, rule, seeds)
        decided = now.racing & racing & (p < level)
        if not decided.any():
            return now, np.broadcast_to(level, p.shape)
        now = _decide(now, decided & (difference < 0), BETTER, seeds)
        now = _decide(now, decided & (difference > 0), WORSE, seeds)


def _of_remaining(now: Race, rule: Replicates, seeds: int) -> FloatArray:
    """The level at `seeds`, shape (..., 1), when alpha is shared among the comparisons that are neither better nor
    worse yet."""
    counts = (~np.isin(now.verdict, (BETTER, WORSE, BASELINE))).sum(-1, keepdims=True)
    remaining, back = np.unique(np.maximum(counts, 1), return_inverse=True)
    levels = np.array([_levels(rule, int(comparisons))[seeds - rule.start] for comparisons in remaining])
    return np.asarray(levels[back].reshape(counts.shape))


def _levels(rule: Replicates, cells: int) -> tuple[float, ...]:
    return nominal_levels(rule.start, rule.max, ALPHA / cells)


def _predicted(p: FloatArray, now: Race, seeds: int, rule: Replicates) -> FloatArray:
    """The probability of a verdict at the last look, as the data so far predict it (flat prior); NaN without p."""
    share = seeds / rule.max
    needed, z = -ndtri(_of_remaining(now, rule, rule.max) / 2), -ndtri(p / 2)
    return np.asarray(ndtr((z - needed * np.sqrt(share)) / np.sqrt(1 - share)))


def _spent(now: Race, cells: BoolArray, p: FloatArray, seeds: int) -> Race:
    """`now` with a final verdict on those of `cells` that have none when seeds or runs are used up."""
    return _decide(_decide(now, cells & np.isnan(p), NO_TEST, seeds), cells, UNDECIDED, seeds)


def _decide(now: Race, cells: BoolArray, verdict: str, seeds: int) -> Race:
    """`now` with this verdict on those of `cells` that have none."""
    new = cells & now.racing
    return replace(now, verdict=np.where(new, verdict, now.verdict), decided_at=np.where(new, seeds, now.decided_at))
