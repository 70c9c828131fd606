"""Seeds where they are needed: after every seed, which comparisons still need one.

A comparison is a cell against the baseline, or a planned question; its cells get seeds together. At each look every
comparison in the race is judged on the seeds that its cells have. It leaves the race when

    better, worse        its p falls below what this look may spend: alpha is shared among the comparisons after Holm
                         and spent over the looks (`boundaries`); all claims of a study together err with 5 % at most
    equal within width   its interval, which holds zero, is no wider than the stated width
    out of reach         where no width is stated: going on as it began, the largest number of seeds would tell it apart
                         with a probability below HOPELESS; the claims do not rest on this rule, since it only ends
    no test              its cells share fewer than two seeds

and what is left when seeds or runs are spent is `undecided`, or `no test` where nothing has any spread. A decision
depends on nothing but the values, seed by seed. Arrays are (..., cells, seeds); leading axes are independent studies.
Lower values are better. Measured errors and costs are in docs/validation.md.

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
    """The comparisons (..., comparisons) after `seeds` seeds; NaN for those no longer in the race.

    difference, half   difference and the half width of its interval: those of all comparisons and all looks hold
                       together with 95 %
    p, level           two-sided p, and what it has to be below for a verdict at this look
    """

    seeds: int
    difference: FloatArray
    half: FloatArray
    p: FloatArray
    level: FloatArray


@dataclass(frozen=True)
class Race:
    """A study so far: `verdict` of every comparison (..., comparisons), the seeds it was `decided_at` (0: not yet), and
    how many of the first seeds each cell (..., cells) is `requested` for, ended or not.

    The comparisons with the baseline are as many as the cells; on the baseline's own place stands BASELINE.
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
class _Judged:
    """Comparisons (..., comparisons) at a look: seeds behind each, difference, its error and degrees of freedom."""

    n: IntArray
    difference: FloatArray
    error: FloatArray
    df: FloatArray

    @property
    def p(self) -> FloatArray:
        """Two-sided, one by one."""
        return np.asarray(2 * stdtr(self.df, -np.abs(self.difference / self.error)))

    def half(self, level: float) -> FloatArray:
        """Half widths of intervals that miss the truth with probability `level`."""
        return np.asarray(stdtrit(self.df, 1 - level / 2) * self.error)


@dataclass(frozen=True)
class _Family:
    """What is compared: the cells of every comparison (comparisons, cells), and how a table is judged. The comparison
    at `no_comparison` (the baseline with itself) is none."""

    members: BoolArray
    judge: Callable[[FloatArray], _Judged]
    no_comparison: int | None = None

    @property
    def size(self) -> int:
        """The number of comparisons that share alpha."""
        return len(self.members) - (self.no_comparison is not None)


def race(values: FloatArray, ended: BoolArray, baseline: int, rule: Replicates) -> Race:
    """Replay every look at cells against the baseline that the ended runs allow.

    values   (..., cells, seeds), at least `rule.max` seeds in their order; NaN for a run without a value
    ended    of the same shape: whether a run is over; one that ended without a value is a gap and holds nothing up
    """
    cells = np.eye(values.shape[-2], dtype=bool)

    def judge(table: FloatArray) -> _Judged:
        errors = blocks.standard_errors(table, baseline)
        return _Judged(errors.n, errors.difference, errors.error, errors.df[..., None])

    return _race(values, ended, _Family(cells | cells[baseline], judge, baseline), rule)


def race_of_questions(values: FloatArray, ended: BoolArray, weights: FloatArray, rule: Replicates) -> Race:
    """The same for planned contrasts `weights` (questions, cells): a cell gets seeds while a question about it is
    open."""

    def judge(table: FloatArray) -> _Judged:
        judged = contrasts.with_table_rule(contrasts.contrasts(table, weights), table, weights)
        runs = np.where(weights != 0, (~np.isnan(table)).sum(-1)[..., None, :], table.shape[-1]).min(-1)
        n = np.where(weights.any(-1), runs, 0)  # a question without any cell has no test
        return _Judged(n, judged.estimate, judged.error, judged.df)

    return _race(values, ended, _Family(weights != 0, judge), rule)


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
        now = _looked(now, values, seeds, family, rule, ready)
    return now


def _is_over(now: Race, ended: BoolArray) -> BoolArray:
    """(...): whether every requested run has ended."""
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


def _looked(now: Race, values: FloatArray, seeds: int, family: _Family, rule: Replicates, ready: BoolArray) -> Race:
    requested = np.arange(values.shape[-1]) < np.minimum(now.requested, seeds)[..., None]
    judged = family.judge(np.where(requested, values, np.nan)[..., :seeds])
    racing = now.racing & ready[..., None]
    testable = racing & (judged.n > 1)
    p = np.where(testable, judged.p, np.nan)
    after, level = _tested(now, p, judged.difference, seeds, rule, racing)
    half = np.where(testable, judged.half(_levels(rule, family.size)[seeds - rule.start]), np.nan)
    look = Look(seeds, np.where(racing, judged.difference, np.nan), half, p, np.where(racing, level, np.nan))
    after = _settle(after, racing & (judged.n < 2), NO_TEST, seeds)
    if rule.width is not None:
        after = _settle(after, racing & (2 * half <= rule.width), EQUAL, seeds)
    elif seeds < rule.max:
        after = _settle(after, racing & (_predicted(p, after, seeds, rule) < HOPELESS), OUT_OF_REACH, seeds)
    if seeds == rule.max:
        after = _spent(after, racing, p, seeds)
    return replace(after, looks=(*now.looks, look))


def _tested(
    now: Race, p: FloatArray, difference: FloatArray, seeds: int, rule: Replicates, racing: BoolArray
) -> tuple[Race, FloatArray]:
    """Holm's steps: each verdict leaves its share of alpha to the cells without one. And the level (..., cells)."""
    while True:
        level = _of_remaining(now, rule, seeds)
        decided = now.racing & racing & (p < level)
        if not decided.any():
            return now, np.broadcast_to(level, p.shape)
        now = _settle(now, decided & (difference < 0), BETTER, seeds)
        now = _settle(now, decided & (difference > 0), WORSE, seeds)


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
    """`now` with an end for those of `cells` that have no verdict though seeds or runs are spent."""
    return _settle(_settle(now, cells & np.isnan(p), NO_TEST, seeds), cells, UNDECIDED, seeds)


def _settle(now: Race, cells: BoolArray, verdict: str, seeds: int) -> Race:
    """`now` with this verdict for those of `cells` that have none."""
    new = cells & now.racing
    return replace(now, verdict=np.where(new, verdict, now.verdict), decided_at=np.where(new, seeds, now.decided_at))
