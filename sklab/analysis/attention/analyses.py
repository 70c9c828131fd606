"""The findings of the analyses of a study's runs, cell by cell: attention against object size, receptive fields."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sklab.analysis.attention.trends import Trend, trends
from sklab.analysis.statistics.intervals import FloatArray, mean_interval, none_if_nan, paired_difference
from sklab.errors import SklabError
from sklab.spec.analysis import Analysis, ReceptiveField
from sklab.spec.study.sweep import Sweep
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder


@dataclass(frozen=True)
class CellFindings:
    """The trends of attention against the objects' true scale (none where the data set does not state it) and against
    the enlargement, and the receptive fields of a cell."""

    cell: str
    by_object: tuple[Trend, ...]
    by_enlargement: tuple[Trend, ...]
    fields: tuple[FieldSize, ...]


def findings(analyses: Mapping[str, Sequence[Analysis]], baseline: str = "") -> tuple[CellFindings, ...]:
    """The findings of each cell that has analyses of its runs; receptive fields are compared with those of
    `baseline`. Raises SklabError where the analyses were not made with equal settings."""
    _ensure_comparable([analysis for of_cell in analyses.values() for analysis in of_cell])
    return tuple(
        CellFindings(
            cell,
            by_object=trends(runs, "object"),
            by_enlargement=trends(runs, "enlargement"),
            fields=field_sizes(runs, analyses.get(baseline, ()) if cell != baseline else ()),
        )
        for cell, runs in analyses.items()
        if runs
    )


def _ensure_comparable(analyses: Sequence[Analysis]) -> None:
    settings = {(run.enlargements, run.data.model_dump_json(exclude=set(run.data.places))): run.key for run in analyses}
    if len(settings) > 1:
        runs = " and ".join(settings.values())
        raise SklabError(f"analyses with different data or scales: runs {runs}; `sklab analyze STUDY` makes them alike")


def runs_by_cell(study: StudyFolder, sweep: Sweep) -> dict[str, list[RunFolder]]:
    """The planned runs of each cell, in the order of the sweep and of its seeds."""
    keys = {cell.name: [cell.runs[seed] for seed in sweep.seeds if seed in cell.runs] for cell in sweep.cells}
    return {cell: [study.run(key) for key in of_cell] for cell, of_cell in keys.items()}


def read_analyses(runs: Mapping[str, Sequence[RunFolder]]) -> dict[str, list[Analysis]]:
    """The analyses of the runs of each cell, as far as there are any."""
    return {
        cell: [analysis for run in of_cell if (analysis := run.read_analysis()) is not None]
        for cell, of_cell in runs.items()
    }


@dataclass(frozen=True)
class FieldSize:
    """The effective receptive field of a stage over `n` runs of one cell; sizes in pixels.

    side, half                   root of the area: mean and half width of its 95 % t interval (None for n < 2)
    theoretical                  side of the theoretical field, which may exceed the image
    share                        side / theoretical
    roundness                    mean of the minor over the major axis: 1 for a circle
    difference, difference_half  side minus that of the baseline's stage of this name, paired by seed: mean, interval
    difference_p                 two-sided p of this difference. All three are None on the baseline itself and where it
                                 has no such stage
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
    """The receptive field of each stage. `runs` are the runs of one cell, `baseline` those of the baseline, one per
    seed."""
    return tuple(_field_size(stage.stage, runs, baseline) for stage in runs[0].fields)


def _field_size(stage: str, runs: Sequence[Analysis], baseline: Sequence[Analysis]) -> FieldSize:
    seeds = sorted({run.seed for run in (*runs, *baseline)}, key=lambda seed: -1 if seed is None else seed)
    ours, theirs = _sides(stage, runs, seeds), _sides(stage, baseline, seeds)
    estimate, difference = mean_interval(ours), paired_difference(ours, theirs)
    fields = [_field(run, stage) for run in runs]
    axes = [field.minor / field.major if field.major else 1.0 for field in fields if field]
    theoretical = next(field.theoretical for field in fields if field)
    return FieldSize(
        stage=stage,
        n=int(estimate.n),
        side=float(estimate.mean),
        half=none_if_nan(estimate.half),
        theoretical=theoretical,
        share=float(estimate.mean) / theoretical,
        roundness=math.fsum(axes) / len(axes),
        difference=none_if_nan(difference.mean),
        difference_half=none_if_nan(difference.half),
        difference_p=none_if_nan(difference.p),
    )


def _sides(stage: str, runs: Sequence[Analysis], seeds: Sequence[int | None]) -> FloatArray:
    """[seed]: the root of the area in pixels, NaN for a seed without a run."""
    areas = {run.seed: field.area for run in runs if (field := _field(run, stage))}
    return np.sqrt([areas.get(seed, math.nan) for seed in seeds])


def _field(run: Analysis, stage: str) -> ReceptiveField | None:
    return next((field for field in run.fields if field.stage == stage), None)
