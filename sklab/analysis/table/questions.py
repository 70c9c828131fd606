"""A study's questions and their answers: planned questions, and those that follow from its factors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sklab.analysis.statistics import contrasts
from sklab.analysis.statistics.compare import Decision, Versus
from sklab.analysis.statistics.intervals import ALPHA, FloatArray
from sklab.analysis.statistics.sequential import BETTER, EQUAL, NO_TEST, WORSE, Race
from sklab.spec.study.metrics import METRICS, TOP1_ERROR, Measure
from sklab.spec.study.questions import Pair, Question, pairs_of
from sklab.spec.study.sweep import Cell, Sweep

NO_RUNS = "no pair of cells has runs on both sides"
MANY = "too many pairs to judge them one by one"
NO_PAIR = "its cells are one network, or can't exist"
Family = Callable[[FloatArray, FloatArray], Sequence[Versus]]  # values, weights (questions, cells) -> answers
_MOST_PAIRS = 200  # that are compared one by one, and whose agreement is tested


@dataclass(frozen=True)
class Answer:
    """The answer to one question of a family.

    versus     the mean difference over `pairs`; interval and adjusted p hold for the whole family
    pairs      the pairs of cells behind it, each with its own difference; their intervals hold one by one
    left_out   pairs with a cell that has too few runs
    agreement  p of the hypothesis that all pairs have the same difference; NaN without a test
    margin     a difference of at most this makes no difference to the user; NaN where none is stated
    measure    the metric that the difference is of
    sequential_verdict
               the verdict under repeated looking, where seeds are added until the questions are decided; p and interval
               then allow for the looks
    """

    name: str
    question: Question
    versus: Versus
    pairs: tuple[tuple[Pair, Versus], ...] = ()
    left_out: tuple[Pair, ...] = ()
    agreement: float = math.nan
    margin: float = math.nan
    measure: Measure = METRICS[TOP1_ERROR]
    sequential_verdict: Decision | None = None

    @property
    def verdict(self) -> Decision:
        """The verdict on the true difference, by the interval that holds for the whole family."""
        return self.sequential_verdict or self.versus.verdict(self.margin, self.measure.better)


def answered(
    sweep: Sweep, questions: Mapping[str, Question], values: FloatArray, judge: Family = contrasts.family
) -> tuple[Answer, ...]:
    """The answers to a family of questions, from `values` (cells, seeds; NaN: no run)."""
    if not questions or not sweep.cells:
        return ()
    runs = dict(zip((cell.name for cell in sweep.cells), (~np.isnan(values)).sum(1).tolist(), strict=True))
    pairs = {name: pairs_of(question, (*sweep.cells, *sweep.duplicates)) for name, question in questions.items()}
    whole = {name: whole_pairs(pairs[name], runs) for name in questions}
    weights = [question_weights(sweep.cells, whole[name]) for name in questions if whole[name]]
    family = iter(judge(values, np.array(weights)) if weights else ())
    return tuple(
        Answer(
            name,
            question,
            next(family) if whole[name] else Versus(reason=NO_RUNS if pairs[name] else NO_PAIR),
            _pair_by_pair(sweep.cells, whole[name], values),
            tuple(pair for pair in pairs[name] if pair not in whole[name]),
            _agreement(sweep.cells, whole[name], values),
            math.nan if sweep.margin is None else sweep.margin,
            sweep.metric.measure,
        )
        for name, question in questions.items()
    )


def under_repeated_looking(answers: Sequence[Answer], race: Race) -> tuple[Answer, ...]:
    """`answers` with the verdicts of the race, and the interval and p of the last look at each. All looks at all
    questions together err with 5 % at most; p is scaled so that 0.05 is the level of its look."""
    return tuple(_after_last_look(answer, race, at) for at, answer in enumerate(answers))


def _after_last_look(answer: Answer, race: Race, at: int) -> Answer:
    decisions: dict[str, Decision] = {
        BETTER: answer.measure.better,
        WORSE: answer.measure.worse,
        EQUAL: "equivalent",
        NO_TEST: "no test",
    }
    decision = decisions.get(str(race.verdict[at]), "undecided")
    looks = [look for look in race.looks if not np.isnan(look.p[at])]
    if not looks:
        return replace(answer, sequential_verdict=decision)
    last = looks[-1]
    scaled = float(np.minimum(last.p[at] * ALPHA / last.level[at], 1))
    half, difference = float(last.half[at]), float(last.difference[at])
    versus = replace(answer.versus, n=last.seeds, difference=difference, half=half, adjusted=scaled)
    return replace(answer, versus=versus, sequential_verdict=decision)


def question_weights(cells: Sequence[Cell], pairs: Sequence[Pair]) -> FloatArray:
    """The weight of every cell in the mean difference over `pairs`; zeros if there is no pair."""
    at, weights = {cell.name: place for place, cell in enumerate(cells)}, np.zeros(len(cells))
    for pair in pairs:
        for sign, side in ((1, pair.cells), (-1, pair.against)):
            for name in side:
                weights[at[name]] += sign / len(side) / len(pairs)
    return weights


def whole_pairs(pairs: Sequence[Pair], runs: Mapping[str, int]) -> tuple[Pair, ...]:
    """The pairs whose cells all have enough runs for a test: two, or one in a study that has no more."""
    least = max(1, min(2, max(runs.values())))
    return tuple(pair for pair in pairs if min(runs[name] for name in (*pair.cells, *pair.against)) >= least)


def _pair_by_pair(cells: Sequence[Cell], pairs: Sequence[Pair], values: FloatArray) -> tuple[tuple[Pair, Versus], ...]:
    if len(pairs) > _MOST_PAIRS:
        return tuple((pair, Versus(reason=MANY)) for pair in pairs)
    if not pairs:
        return ()
    weights = np.array([question_weights(cells, [pair]) for pair in pairs])
    return tuple(zip(pairs, contrasts.one_by_one(values, weights), strict=True))


def _agreement(cells: Sequence[Cell], pairs: Sequence[Pair], values: FloatArray) -> float:
    if not 1 < len(pairs) <= _MOST_PAIRS:
        return math.nan
    return contrasts.disagreement(values, np.array([question_weights(cells, [pair]) for pair in pairs]))
