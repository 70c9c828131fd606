"""Seeds where they are needed: after every seed, which cells still need one.

At each look every cell in the race is compared with the baseline on the seeds they share. It leaves the race when

    better, worse        its p falls below what this look may spend: alpha is shared among the cells after Holm and
                         spent over the looks (`boundaries`); all claims of a study together err with 5 % at most
    equal within width   its interval, which holds zero, is no wider than the stated width
    out of reach         where no width is stated: going on as it began, the largest number of seeds would tell it apart
                         with a probability below HOPELESS; the claims do not rest on this rule, since it only ends
    no test              it shares fewer than two seeds with the baseline

and what is left when seeds or runs are spent is `undecided`, or `no test` where nothing has any spread. A decision
depends on nothing but the values, seed by seed. Arrays are (..., cells, seeds); leading axes are independent studies.
Lower values are better. Measured errors and costs are in docs/statistics.md.

Sources: W. Maurer, F. Bretz, Multiple testing in group sequential trials using graphical approaches, Statistics in
Biopharmaceutical Research 5 (2013), 311-320 (Holm with spending); C. Jennison, B. W. Turnbull, Group Sequential
Methods with Applications to Clinical Trials, 2000, chapters 9 (repeated confidence intervals), 10 (predictive power).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from sklab.analysis.statistics import blocks
from sklab.analysis.statistics.boundaries import nominal_levels
from sklab.analysis.statistics.intervals import ALPHA, BoolArray, FloatArray, IntArray
from sklab.spec.study.sweep import Replicates

HOPELESS = 0.07  # predictive probability below which a cell is out of reach
RACING, BETTER, WORSE, EQUAL, OUT_OF_REACH = "racing", "better", "worse", "equal within width", "out of reach"
UNDECIDED, NO_TEST, BASELINE = "undecided", "no test", ""


@dataclass(frozen=True)
class Look:
    """The cells (..., cells) after `seeds` seeds; NaN for those no longer in the race.

    difference, half   mean difference from the baseline and the half width of its interval: those of all cells and all
                       looks hold together with 95 %
    p, level           two-sided p, and what it has to be below for a verdict at this look
    """

    seeds: int
    difference: FloatArray
    half: FloatArray
    p: FloatArray
    level: FloatArray


@dataclass(frozen=True)
class Race:
    """A study so far: `verdict` of every cell (..., cells), the seeds it was `decided_at` (0: not yet), and how many of
    the first seeds each cell is `requested` for, ended or not."""

    looks: tuple[Look, ...]
    verdict: npt.NDArray[np.str_]
    decided_at: IntArray
    requested: IntArray

    @property
    def racing(self) -> BoolArray:
        """The cells (..., cells) without a verdict so far."""
        return np.asarray(self.verdict == RACING)


def race(values: FloatArray, ended: BoolArray, baseline: int, rule: Replicates) -> Race:
    """Replay every look that the ended runs allow.

    values   (..., cells, seeds), at least `rule.max` seeds in their order; NaN for a run without a value
    ended    of the same shape: whether a run is over; one that ended without a value is a gap and holds nothing up
    """
    shape = values.shape[:-1]
    verdict = np.where(np.arange(shape[-1]) == baseline, BASELINE, RACING)
    now = Race(
        (), np.broadcast_to(verdict, shape).astype("<U18"), np.zeros(shape, int), np.full(shape, rule.start, int)
    )
    for seeds in range(rule.start, rule.max + 1):
        if seeds > rule.start:
            now = _request_one_more(now, seeds, baseline, rule, _is_over(now, ended))
        ready = _is_over(now, ended) & (now.requested[..., baseline] == seeds)
        if not (ready[..., None] & now.racing).any():
            break
        now = _looked(now, values, seeds, baseline, rule, ready)
    return now


def _is_over(now: Race, ended: BoolArray) -> BoolArray:
    """(...): whether every requested run has ended."""
    beyond = np.arange(ended.shape[-1]) >= now.requested[..., None]
    return np.asarray((ended | beyond).all((-1, -2)))


def _request_one_more(now: Race, seeds: int, baseline: int, rule: Replicates, ready: BoolArray) -> Race:
    """Request one more seed for the cells in the race and for the baseline, unless the runs would exceed the budget."""
    goes_on = ready & now.racing.any(-1) & (now.requested[..., baseline] == seeds - 1)
    cost = now.requested.sum(-1) + now.racing.sum(-1) + 1
    affordable = cost <= (rule.runs or np.inf)
    joins = now.racing | (np.arange(now.requested.shape[-1]) == baseline)
    requested = np.where((goes_on & affordable)[..., None] & joins, seeds, now.requested)
    ends = (goes_on & ~affordable)[..., None] & now.racing
    return _spent(replace(now, requested=requested), ends, now.looks[-1].p, seeds - 1)


def _looked(now: Race, values: FloatArray, seeds: int, baseline: int, rule: Replicates, ready: BoolArray) -> Race:
    requested = np.arange(values.shape[-1]) < np.minimum(now.requested, seeds)[..., None]
    found = blocks.standard_errors(np.where(requested, values, np.nan)[..., :seeds], baseline)
    at = seeds - rule.start
    family = values.shape[-2] - 1
    racing = now.racing & ready[..., None]
    testable = racing & (found.n > 1)
    p = np.where(testable, blocks.single_p(found), np.nan)
    after, level = _tested(now, p, found.difference, seeds, rule, racing)
    half = np.where(testable, blocks.single_half(found, np.asarray(_levels(rule, family)[at])), np.nan)
    look = Look(seeds, np.where(racing, found.difference, np.nan), half, p, np.where(racing, level, np.nan))
    after = _settle(after, racing & (found.n < 2), NO_TEST, seeds)
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
        told = now.racing & racing & (p < level)
        if not told.any():
            return now, np.broadcast_to(level, p.shape)
        now = _settle(now, told & (difference < 0), BETTER, seeds)
        now = _settle(now, told & (difference > 0), WORSE, seeds)


def _of_remaining(now: Race, rule: Replicates, seeds: int) -> FloatArray:
    """The level at `seeds`, shape (..., 1), when alpha is shared among the cells that are neither better nor worse
    yet."""
    told = ((now.verdict == BETTER) | (now.verdict == WORSE)).sum(-1, keepdims=True)
    remaining, back = np.unique(np.maximum(now.verdict.shape[-1] - 1 - told, 1), return_inverse=True)
    levels = np.array([_levels(rule, int(cells))[seeds - rule.start] for cells in remaining])
    return np.asarray(levels[back].reshape(told.shape))


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
