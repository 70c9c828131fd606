"""The power of a study before its first run: the smallest differences that its questions will find."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from sklab.analysis.statistics import blocks
from sklab.analysis.statistics.contrasts import detectable
from sklab.analysis.table.replicates import planned_weights, values_and_ends
from sklab.spec.study.sweep import Sweep
from sklab.spec.values import Seq, Value
from sklab.store.records import RunRecord


class QuestionPower(Value):
    """The smallest true difference that a question finds with 80 % probability, in the unit of the metric, or, where
    the standard deviation of a run is not known, in units of it."""

    question: str
    detectable: float


class Power(Value):
    """What the planned questions can show with all the seeds of the sweep.

    spread  standard deviation of a run without the effects of seeds, in the unit of the metric: as the user states it,
            else that of the `runs` so far; None where neither is known
    """

    questions: Seq[QuestionPower]
    spread: float | None
    runs: int


def power_of(sweep: Sweep, records: Mapping[str, RunRecord], stated: float | None) -> Power | None:
    """The power of the planned questions; None without questions, or with a single seed."""
    if not sweep.questions or len(sweep.shared_seeds) < 2:
        return None
    values, _ = values_and_ends(sweep, records)
    measured = _spread(values) if stated is None else None
    spread = stated if stated is not None else measured
    weights = planned_weights(sweep)
    names = [name for name, of_cells in zip(sweep.questions, weights, strict=True) if of_cells.any()]
    runs = np.ones((len(values), len(sweep.shared_seeds)))
    sizes = detectable(runs, weights[weights.any(1)], spread or 1.0).tolist() if names else []
    questions = (QuestionPower(question=name, detectable=size) for name, size in zip(names, sizes, strict=True))
    return Power(questions=tuple(questions), spread=spread, runs=int((~np.isnan(values)).sum()) if measured else 0)


def _spread(values: np.typing.NDArray[np.float64]) -> float | None:
    variance = float(blocks.fit(values).variance)
    return math.sqrt(variance) if variance > 0 else None
