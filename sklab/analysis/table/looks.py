"""The verdicts of a study that gets more seeds after verdicts were shown, without a plan for that (`replicates` is a
plan).

A claim at a later look needs the level of that look (`boundaries.levels_after_a_look`). A claim of an earlier look
stands as long as all seeds together carry it at 5 %. This adds no error: a false one was counted when it was made
first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from sklab.analysis.statistics.boundaries import levels_after_a_look
from sklab.analysis.statistics.compare import Versus
from sklab.analysis.statistics.intervals import ALPHA, FloatArray
from sklab.analysis.table.rows import AblationTable
from sklab.spec.study.sweep import Sweep
from sklab.store.states import UNENDED

Judge = Callable[[FloatArray, float], Sequence[Versus]]  # values (cells, seeds), alpha -> the answers of a family


def is_look(table: AblationTable) -> bool:
    """Whether verdicts are shown with `table`, and no run is left that could change them. A study with replicates
    counts its looks itself."""
    verdicts = (*(row.verdict for row in table.rows), *(answer.verdict for answer in table.questions))
    ended = all(run.state not in UNENDED for row in table.rows for run in row.runs)
    return ended and table.race is None and any(verdict not in (None, "no test") for verdict in verdicts)


def earlier_looks(sweep: Sweep, looks: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """The columns of `looks` (seeds) at fewer seeds than the sweep has now, each at more than the one before."""
    kept: list[tuple[int, ...]] = []
    for look in looks if sweep.replicates is None else ():
        columns = tuple(at for at, seed in enumerate(sweep.seeds) if seed in look)
        if len(kept[-1] if kept else ()) < len(columns) < len(sweep.seeds):
            kept.append(columns)
    return tuple(kept)


def judged(values: FloatArray, earlier: Sequence[Sequence[int]], judge: Judge) -> tuple[Versus, ...]:
    """The answers of `judge` to `values` (cells, seeds; NaN: no run) after looks at the seeds (columns) of `earlier`,
    each at more of them than the one before and fewer than all.

    An adjusted p is scaled so that 0.05 is the level of the look.
    """
    *before, level = levels_after_a_look((*map(len, earlier), values.shape[1]))
    now = _scaled(judge(values, level), level)
    if not before:
        return now
    looks = zip(earlier, before, strict=True)
    answers = [_scaled(judge(values[:, list(seeds)], of_look), of_look) for seeds, of_look in looks]
    claims = ([answer.verdict() for answer in of_comparison] for of_comparison in zip(*answers, strict=True))
    return tuple(map(_standing, now, judge(values, ALPHA), claims))


def _scaled(answers: Iterable[Versus], level: float) -> tuple[Versus, ...]:
    return tuple(
        replace(answer, adjusted=float(np.minimum(answer.adjusted * (ALPHA / level), 1))) for answer in answers
    )


def _standing(now: Versus, today: Versus, claims: Sequence[str]) -> Versus:
    """The answer at 5 % where it repeats a claim of an earlier look, else that at the level of this look."""
    verdict = today.verdict()
    return today if verdict in ("lower", "higher") and verdict in claims else now
