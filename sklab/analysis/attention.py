"""From `attention.json` and `analysis.json` to numbers: what the branches' shares say, and whether it holds over seeds.

Two measures of the same shares: the difference "large kernel minus small kernel" where a unit has two branches (paper,
section 5), and for any number of branches the expected kernel, the mean of the branches' windows D (k - 1) + 1 with
their shares as weights. With two branches, one follows from the other by a straight line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from sklab.analysis.stats import FloatArray, mean_interval
from sklab.errors import SklabError
from sklab.records import RunFolder, StudyFolder
from sklab.spec.analysis import Analysis, Unit, UnitAnalysis, UnitSummary
from sklab.spec.sweep import Sweep

Against = Literal["object", "enlargement"]
Verdict = Literal["rises", "flat", "falls", "cannot tell"]

# The largest trend that counts as none: when the scale grows by 1 (the object doubles, from 1 to 2), at most a
# hundredth of the attention moves from the smallest kernel to the largest. The difference then moves by 0.02.
MARGIN = 0.01


@dataclass(frozen=True)
class Trend:
    """How a unit's attention follows the scale of objects, over `n` runs of one cell (its seeds).

    kernel, kernel_half          slope of the expected kernel, pixels per 1.0 of scale: mean over seeds and half width
                                 of its 95 % t interval (None for n < 2)
    difference, difference_half  the same of large minus small; None unless there are two branches
    margin                       what counts as no slope of the expected kernel: MARGIN * (largest - smallest window)
    verdict                      `flat` where the whole interval lies within +- margin, else `rises` or `falls` where
                                 it excludes 0, else `cannot tell`
    role                         `low`, `middle`, `high` or ""
    """

    unit: str
    role: str
    n: int
    kernel: float
    kernel_half: float | None
    difference: float | None
    difference_half: float | None
    margin: float
    verdict: Verdict


@dataclass(frozen=True)
class FieldSize:
    """The effective receptive field of a stage over `n` runs of one cell.

    side, half   root of the area, pixels: mean and half width of its 95 % t interval (None for n < 2)
    share        mean of side / theoretical
    theoretical  side of the theoretical field, pixels; may exceed the image
    roundness    mean of the minor over the major axis: 1 for a circle
    """

    stage: str
    n: int
    side: float
    half: float | None
    share: float
    theoretical: int
    roundness: float


@dataclass(frozen=True)
class CellFindings:
    """What the analyses of one cell's runs say: trends against the objects' true scale (none where no data set tells
    it) and against the enlargement, and the receptive fields."""

    cell: str
    by_object: tuple[Trend, ...]
    by_enlargement: tuple[Trend, ...]
    fields: tuple[FieldSize, ...]


def findings(analyses: Mapping[str, Sequence[Analysis]]) -> tuple[CellFindings, ...]:
    """Per cell, of the analyses of its runs. Raises SklabError where these were not made with equal settings."""
    _ensure_alike([analysis for of_cell in analyses.values() for analysis in of_cell])
    return tuple(
        CellFindings(cell, trends(runs, "object"), trends(runs, "enlargement"), field_sizes(runs))
        for cell, runs in analyses.items()
        if runs
    )


def runs_by_cell(study: StudyFolder, sweep: Sweep) -> dict[str, list[RunFolder]]:
    """The runs that are planned, in the order of the sweep and of its seeds."""
    keys = {cell.name: [cell.runs[seed] for seed in sweep.seeds if seed in cell.runs] for cell in sweep.cells}
    return {cell: [study.run(key) for key in of_cell] for cell, of_cell in keys.items()}


def read_analyses(runs: Mapping[str, Sequence[RunFolder]]) -> dict[str, list[Analysis]]:
    """The analyses at hand by cell."""
    return {
        cell: [analysis for run in of_cell if (analysis := run.read_analysis()) is not None]
        for cell, of_cell in runs.items()
    }


def _ensure_alike(analyses: Sequence[Analysis]) -> None:
    settings = {
        (each.enlargements, each.data.model_dump_json(exclude=set(each.data.places))): each.key for each in analyses
    }
    if len(settings) > 1:
        runs = " and ".join(settings.values())
        raise SklabError(
            f"runs {runs} were analysed with different data or scales; `sklab analyze STUDY` makes them one"
        )


def trends(runs: Sequence[Analysis], against: Against) -> tuple[Trend, ...]:
    """One trend per unit with different kernels. `runs` are the runs of one cell, one per seed."""
    slopes = {unit.name: [_slopes(run, at, against) for run in runs] for at, unit in enumerate(runs[0].units)}
    roles = _roles(runs[0].chosen)
    return tuple(
        _trend(unit, roles.get(unit.name, ""), np.array(slopes[unit.name]))
        for unit in runs[0].units
        if len(set(unit.kernels)) > 1 and slopes[unit.name][0]
    )


def _roles(chosen: Sequence[str]) -> dict[str, str]:
    names = ("low", "middle", "high") if len(chosen) == 3 else ("low", "high")
    return dict(zip(chosen, names, strict=False))


def _slopes(run: Analysis, at: int, against: Against) -> Sequence[float]:
    """[branch]: slopes of the shares, nothing where they are not known."""
    unit = run.units[at]
    if against == "object":
        return unit.slope
    if len(run.enlargements) < 2:
        return ()
    fitted = np.polynomial.polynomial.polyfit(run.enlargements, np.array(unit.mean), 1)
    return [float(slope) for slope in fitted[1]]


def _trend(unit: Unit, role: str, slopes: FloatArray) -> Trend:
    """`slopes` [seed, branch]."""
    kernel = mean_interval(expected_kernel(slopes, unit.kernels))
    large = large_minus_small(slopes, unit.kernels)
    difference = mean_interval(large) if large is not None else None
    margin = MARGIN * (max(unit.kernels) - min(unit.kernels))
    return Trend(
        unit=unit.name,
        role=role,
        n=int(kernel.n),
        kernel=float(kernel.mean),
        kernel_half=_number(kernel.half),
        difference=None if difference is None else float(difference.mean),
        difference_half=None if difference is None else _number(difference.half),
        margin=margin,
        verdict=verdict(float(kernel.mean), float(kernel.half), margin),
    )


def verdict(slope: float, half: float, margin: float) -> Verdict:
    """What an interval `slope` +- `half` says. NaN for `half` says nothing.

    `flat` goes before `rises` and `falls`: a slope that is not 0 but surely smaller than the margin is called flat.
    """
    if math.isnan(half):
        return "cannot tell"
    if abs(slope) + half <= margin:
        return "flat"
    if abs(slope) > half:
        return "rises" if slope > 0 else "falls"
    return "cannot tell"


def large_minus_small(shares: npt.ArrayLike, kernels: Sequence[int]) -> FloatArray | None:
    """[...]: the larger kernel's share (or slope) minus the smaller one's, of `shares` [..., branch].

    None unless there are two branches of different windows.
    """
    if len(kernels) != 2 or kernels[0] == kernels[1]:
        return None
    both = np.asarray(shares, dtype=np.float64)
    large = int(np.argmax(kernels))
    return np.asarray(both[..., large] - both[..., 1 - large])


def expected_kernel(shares: npt.ArrayLike, kernels: Sequence[int]) -> FloatArray:
    """[...]: the sum over branches of share times window, of `shares` [..., branch]; pixels a side."""
    return np.asarray(np.asarray(shares, dtype=np.float64) @ np.asarray(kernels, dtype=np.float64))


def pooled(unit: UnitSummary, counts: npt.ArrayLike, keep: Literal["class", "bin", "nothing"]) -> FloatArray:
    """[branch, class or bin], or [branch] with `nothing`: the means of `unit` over all other images.

    `counts` is the summary's. NaN where there is no image.
    """
    weight = np.asarray(counts, dtype=np.float64)
    sums = np.nan_to_num(np.array(unit.mean, dtype=np.float64)) * weight
    kept = {"class": "mcb->mc", "bin": "mcb->mb", "nothing": "mcb->m"}[keep]
    with np.errstate(invalid="ignore"):
        return np.asarray(np.einsum(kept, sums) / np.einsum(kept, np.broadcast_to(weight, sums.shape)))


def by_class(unit: UnitAnalysis, enlargement: int, measure: Literal["difference", "kernel"]) -> FloatArray | None:
    """[class]: the measure of each class at the enlargement of this number; None where the unit has no such measure."""
    if not unit.by_class:
        return None
    shares = np.array(unit.by_class[enlargement], dtype=np.float64).T
    return large_minus_small(shares, unit.kernels) if measure == "difference" else expected_kernel(shares, unit.kernels)


def field_sizes(runs: Sequence[Analysis]) -> tuple[FieldSize, ...]:
    """One per stage. `runs` are the runs of one cell, one per seed."""
    return tuple(_field_size(runs, at) for at in range(len(runs[0].fields)))


def _field_size(runs: Sequence[Analysis], at: int) -> FieldSize:
    fields = [run.fields[at] for run in runs]
    side = mean_interval(np.sqrt([field.area for field in fields]))
    round_ = [field.minor / field.major if field.major else 1.0 for field in fields]
    return FieldSize(
        stage=fields[0].stage,
        n=int(side.n),
        side=float(side.mean),
        half=_number(side.half),
        share=float(side.mean) / fields[0].theoretical,
        theoretical=fields[0].theoretical,
        roundness=math.fsum(round_) / len(round_),
    )


def _number(value: npt.ArrayLike) -> float | None:
    number = float(np.asarray(value))
    return None if math.isnan(number) else number
