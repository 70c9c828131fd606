"""Effective receptive fields of stages, over the runs of a cell and against another cell's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sklab.analysis.statistics.intervals import FloatArray, mean_interval, paired_difference
from sklab.spec.analysis import Analysis, ReceptiveField


@dataclass(frozen=True)
class FieldSize:
    """The effective receptive field of a stage over `n` runs of one cell; sizes in pixels.

    side, half                   root of the area: mean and half width of its 95 % t interval (None for n < 2)
    theoretical                  side of the theoretical field, which may exceed the image
    share                        side / theoretical
    roundness                    mean of the minor over the major axis: 1 for a circle
    difference, difference_half  side minus that of the baseline's stage of this name, paired by seed: mean, interval
    difference_p                 and two-sided p. None on the baseline itself and where it has no such stage
    """

    stage: str
    n: int
    side: float
    half: float | None
    theoretical: int
    share: float
    roundness: float
    difference: float | None = None
    difference_half: float | None = None
    difference_p: float | None = None


def field_sizes(runs: Sequence[Analysis], baseline: Sequence[Analysis] = ()) -> tuple[FieldSize, ...]:
    """One per stage. `runs`, and `baseline`, are the runs of one cell, one per seed."""
    return tuple(_field_size(stage.stage, runs, baseline) for stage in runs[0].fields)


def _field_size(stage: str, runs: Sequence[Analysis], baseline: Sequence[Analysis]) -> FieldSize:
    seeds = sorted({run.seed for run in (*runs, *baseline)})
    ours, theirs = _sides(stage, runs, seeds), _sides(stage, baseline, seeds)
    estimate, difference = mean_interval(ours), paired_difference(ours, theirs)
    fields = [_field(run, stage) for run in runs]
    axes = [field.minor / field.major if field.major else 1.0 for field in fields if field]
    theoretical = next(field.theoretical for field in fields if field)
    return FieldSize(
        stage=stage,
        n=int(estimate.n),
        side=float(estimate.mean),
        half=_number(estimate.half),
        theoretical=theoretical,
        share=float(estimate.mean) / theoretical,
        roundness=math.fsum(axes) / len(axes),
        difference=_number(difference.mean),
        difference_half=_number(difference.half),
        difference_p=_number(difference.p),
    )


def _sides(stage: str, runs: Sequence[Analysis], seeds: Sequence[int]) -> FloatArray:
    """[seed]: the root of the area in pixels, NaN for a seed without a run."""
    areas = {run.seed: field.area for run in runs if (field := _field(run, stage))}
    return np.sqrt([areas.get(seed, math.nan) for seed in seeds])


def _field(run: Analysis, stage: str) -> ReceptiveField | None:
    return next((field for field in run.fields if field.stage == stage), None)


def _number(value: npt.ArrayLike) -> float | None:
    number = float(np.asarray(value))
    return None if math.isnan(number) else number
