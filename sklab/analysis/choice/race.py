"""Seeds where they help to find the best cell: top-two sampling.

Every cell starts with the same seeds. Then, round by round, the two cells that are the likeliest to be the best get one
more seed each, until one of them is the best with the stated probability, or seeds or runs are used up. That keeps
half of the further runs for the leader and half for what may replace it, so few are spent on cells that are out of it.

Every round follows from the values of the earlier rounds alone: a study that was stopped makes the same choices. Which
cells get seeds depends on the data, so tests of a fixed number of seeds do not hold for all runs; they hold for the
first seeds of every cell, which were fixed before. Arrays are (..., cells, seeds), lower values are better.

Source: D. Russo, Simple Bayesian algorithms for best-arm identification, Operations Research 68 (2020), 1625-1647.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sklab.analysis.choice.posterior import REPORT, Draws, best_cell
from sklab.analysis.statistics.intervals import BoolArray, FloatArray, IntArray
from sklab.spec.study.sweep import Replicates

_QUICK = Draws(24, 12, 24)  # for a choice between cells
_NEAR = 0.03  # below the stated probability, where more draws decide


@dataclass(frozen=True)
class BestRace:
    """A study so far: the number of seeds `requested` for each cell (cells), ended or not, and the `rounds` after the
    first; `over` says why no more are requested: "found", "seeds", "runs" or "no spread"; "" while it goes on."""

    requested: IntArray
    rounds: int = 0
    over: str = ""


def race_for_best(values: FloatArray, ended: BoolArray, rule: Replicates) -> BestRace:
    """Replay every round that the ended runs allow.

    values   (cells, seeds), at least `rule.max` seeds in their order; NaN for a run without a value
    ended    of the same shape: whether a run has ended; one that ended without a value is a gap, for which no round
             waits
    """
    now = BestRace(np.full(len(values), rule.start))
    while not now.over and (ended | ~_of(now, values)).all():
        now = _next(now, np.where(_of(now, values), values, np.nan), rule)
    return now


def _of(now: BestRace, values: FloatArray) -> BoolArray:
    return np.asarray(np.arange(values.shape[1]) < now.requested[:, None])


def _next(now: BestRace, values: FloatArray, rule: Replicates) -> BestRace:
    chances = _chances(values, _QUICK)
    if np.isnan(chances).all():
        return BestRace(now.requested, now.rounds, "no spread")
    if _is_found(chances, values, rule.probability):
        return BestRace(now.requested, now.rounds, "found")
    likely = np.argsort(-np.nan_to_num(chances), kind="stable")[:2]
    chosen = likely[now.requested[likely] < rule.max]
    if not chosen.size:
        return BestRace(now.requested, now.rounds, "seeds")
    if rule.runs and now.requested.sum() + chosen.size > rule.runs:
        return BestRace(now.requested, now.rounds, "runs")
    requested = now.requested.copy()
    requested[chosen] += 1
    return BestRace(requested, now.rounds + 1)


def _is_found(chances: FloatArray, values: FloatArray, probability: float) -> bool:
    if np.nanmax(chances) < probability - _NEAR:
        return False
    return bool(np.nanmax(_chances(values, REPORT)) >= probability)


def _chances(values: FloatArray, draws: Draws) -> FloatArray:
    return np.array(_kept(values.tobytes(), values.shape[0], draws))


@lru_cache(maxsize=4096)
def _kept(values: bytes, cells: int, draws: Draws) -> tuple[float, ...]:
    """The chances of the cells in a round; a study is replayed from its start whenever it is looked at."""
    return tuple(best_cell(np.frombuffer(values).reshape(cells, -1), draws).best.tolist())
