"""The verdicts of a study that gets more seeds after verdicts were shown (`replicates` counts its looks itself).

A claim at a look needs the level of that look (`boundaries.levels_of_looks`). A claim of an earlier look stands as long
as all seeds together carry it at 5 %. This adds no error: a false one was counted when it was made first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from sklab.analysis.evidence.blocks import block_means
from sklab.analysis.statistics import contrasts
from sklab.analysis.statistics.boundaries import levels_of_looks
from sklab.analysis.statistics.compare import Versus
from sklab.analysis.statistics.intervals import ALPHA, FloatArray
from sklab.spec.study.sweep import Sweep
from sklab.store.looks import Look, Looks

Judge = Callable[[FloatArray, float], Sequence[Versus]]  # values (cells, seeds), alpha -> the answers of a family
AtLook = Callable[..., tuple[Versus, ...]]  # values, judge -> the same at a look


@dataclass(frozen=True)
class Seen:
    """The looks at a study, the present one last.

    looks       with rising numbers of seeds
    most_seeds  how many seeds a cell may get, by the plan at the first look; None: as many as it had then
    """

    looks: tuple[Look, ...]
    most_seeds: int | None

    @property
    def levels(self) -> tuple[float, ...]:
        """The level of the adjusted p at each look."""
        numbers, now = tuple(map(_number, self.looks)), self.looks[-1]
        if self.most_seeds is None:
            return levels_of_looks(numbers, numbers[0])
        extra = max(len(now.seeds) + len(now.baseline) - self.most_seeds, 0)
        return levels_of_looks(numbers, _harmonic(self.most_seeds, self.most_seeds + extra))

    @property
    def corrected(self) -> bool:
        """Whether the present look is not judged at 5 %."""
        return self.levels != (ALPHA,)


def _number(look: Look) -> float:
    return _harmonic(len(look.seeds), len(look.seeds) + len(look.baseline))


def _harmonic(of_cell: int, of_baseline: int) -> float:
    """The seeds for both that would tell as much of their difference."""
    return 2 * of_cell * of_baseline / (of_cell + of_baseline)


def look_now(sweep: Sweep) -> Look:
    """The seeds of the sweep's runs."""
    others = {seed for cell in sweep.cells if cell.name != sweep.baseline for seed in cell.runs}
    beyond = {seed for cell in sweep.cells if cell.name == sweep.baseline for seed in cell.runs} - others
    return Look(
        seeds=tuple(seed for seed in sweep.seeds if seed in others),
        baseline=tuple(seed for seed in sweep.seeds if seed in beyond),
    )


def seen(sweep: Sweep, kept: Looks) -> Seen | None:
    """The looks that were `kept`, as far as they had fewer seeds than the sweep has now, and the present one; None for
    a study that is looked at in another way."""
    now = look_now(sweep)
    if sweep.replicates is not None or not now.seeds:
        return None
    looks: list[Look] = []
    for look in kept.looks:
        there = Look(
            seeds=tuple(seed for seed in look.seeds if seed in now.seeds),
            baseline=tuple(seed for seed in look.baseline if seed in (*now.seeds, *now.baseline)),
        )
        if there.seeds and (_number(looks[-1]) if looks else 0) < _number(there) < _number(now):
            looks.append(there)
    return Seen((*looks, now), kept.most_seeds if kept.looks else sweep.most_seeds)


def judge_of(sweep: Sweep, values: FloatArray, looked: Seen | None) -> AtLook:
    """How a family is judged at the last of the looks at `values` (cells, seeds), single runs; None: a single look."""
    if looked is None:
        return lambda part, *, judge: tuple(judge(part, ALPHA))
    return partial(judged, parts=parts_of(sweep, values, looked), levels=looked.levels)


def family_at_look(values: FloatArray, weights: FloatArray, at_look: AtLook) -> tuple[Versus, ...]:
    """The answers to a family of contrasts at a look."""
    return at_look(values, judge=lambda part, alpha: contrasts.family(part, weights, alpha))


def judged(
    values: FloatArray, parts: Sequence[FloatArray], levels: Sequence[float], judge: Judge
) -> tuple[Versus, ...]:
    """The answers of `judge` to `values` (cells, seeds; NaN: no run), after looks at these `parts` of them.

    `levels` are those of the looks, the present one last. An adjusted p is scaled so that 0.05 is the level of this
    look.
    """
    *before, level = levels
    now = _scaled(judge(values, level), level)
    if not before:
        return now
    answers = [_scaled(judge(part, of_look), of_look) for part, of_look in zip(parts, before, strict=True)]
    claims = ([answer.verdict() for answer in of_comparison] for of_comparison in zip(*answers, strict=True))
    return tuple(map(_standing, now, judge(values, ALPHA), claims))


def parts_of(sweep: Sweep, values: FloatArray, looked: Seen) -> list[FloatArray]:
    """What was compared at each earlier look, (cells, seeds) or (cells, blocks), of the `values` (cells, seeds) of now.
    Seeds without any are left out."""
    at_baseline = np.array([cell.name == sweep.baseline for cell in sweep.cells])[:, None]
    parts = []
    for look in looked.looks[:-1]:
        seeds, baseline = (np.isin(sweep.seeds, there) for there in (look.seeds, look.baseline))
        part = block_means(sweep, np.where(seeds | (at_baseline & baseline), values, np.nan))
        parts.append(part[:, ~np.isnan(part).all(axis=0)])
    return parts


def _scaled(answers: Iterable[Versus], level: float) -> tuple[Versus, ...]:
    return tuple(
        replace(answer, adjusted=float(np.minimum(answer.adjusted * (ALPHA / level), 1))) for answer in answers
    )


def _standing(now: Versus, today: Versus, claims: Sequence[str]) -> Versus:
    """The answer at 5 % where it repeats a claim of an earlier look, else that at the level of this look."""
    verdict = today.verdict()
    return today if verdict in ("lower", "higher") and verdict in claims else now
