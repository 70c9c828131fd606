"""From `attention.json` and `analysis.json` to numbers: measures of the branches' shares, and their trends with the
scale of objects, with intervals over seeds.

Two measures of the same shares: the difference "large kernel minus small kernel" where a unit has two branches (paper,
section 5), and for any number of branches the expected kernel, the mean of the branches' windows D (k - 1) + 1 with
their shares as weights. With two branches, one follows from the other by a straight line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from sklab.analysis.statistics.intervals import Estimate, FloatArray, mean_interval, none_if_nan
from sklab.spec.analysis import Analysis, AttentionSummary, Unit, UnitAnalysis, UnitSummary

Against = Literal["object", "enlargement"]
Measure = Literal["difference", "kernel"]
Verdict = Literal["rises", "flat", "falls", "cannot tell"]

# The largest trend that counts as none: when the scale grows by 1 (the object doubles, from 1 to 2), at most a
# hundredth of the attention moves from the smallest kernel to the largest. The difference then moves by 0.02.
MARGIN = 0.01


@dataclass(frozen=True)
class Trend:
    """The trend of a unit's attention with the scale of objects, over `n` runs of one cell (its seeds).

    kernel, kernel_half          slope of the expected kernel, pixels per 1.0 of scale: mean over seeds and half width
                                 of its 95 % t interval (None for n < 2)
    difference, difference_half  the same of large minus small; None unless there are two branches
    margin                       the largest slope of the expected kernel that counts as none:
                                 MARGIN * (largest - smallest window)
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


def trends(runs: Sequence[Analysis], against: Against) -> tuple[Trend, ...]:
    """The trend of each unit that has different kernels. `runs` are the runs of one cell, one per seed."""
    slopes = {unit.name: [_slopes(run, at, against) for run in runs] for at, unit in enumerate(runs[0].units)}
    roles = _roles(runs[0].chosen)
    return tuple(
        _trend(unit, roles.get(unit.name, ""), np.array(slopes[unit.name]))
        for unit in runs[0].units
        if len(set(unit.kernels)) > 1 and slopes[unit.name][0]
    )


def summary_trends(runs: Sequence[AttentionSummary]) -> tuple[Trend, ...]:
    """The trend against the objects' true scale of each unit that has different kernels; none where the scale is not
    known. `runs` are the `attention.json` of one cell's runs, one per seed."""
    return tuple(
        _trend(unit, "", np.array([run.units[at].slope for run in runs]))
        for at, unit in enumerate(runs[0].units)
        if len(set(unit.kernels)) > 1 and unit.slope
    )


def _roles(chosen: Sequence[str]) -> dict[str, str]:
    names = ("low", "middle", "high") if len(chosen) == 3 else ("low", "high")
    return dict(zip(chosen, names, strict=False))


def _slopes(run: Analysis, at: int, against: Against) -> Sequence[float]:
    """[branch]: the slope of each branch's share against the scale, in the unit with the number `at`. It is empty where
    the scale of objects is not known, and where the run was analysed at one enlargement only."""
    unit = run.units[at]
    if against == "object":
        return unit.slope
    if len(run.enlargements) < 2:
        return ()
    _, slopes = np.polynomial.polynomial.polyfit(run.enlargements, np.array(unit.mean), 1)
    return [float(slope) for slope in slopes]


def _trend(unit: Unit, role: str, slopes: FloatArray) -> Trend:
    """The trend of a unit, given the `slopes` [seed, branch] of its branches' shares."""
    kernel = mean_interval(expected_kernel(slopes, unit.kernels))
    large = large_minus_small(slopes, unit.kernels)
    difference = mean_interval(large) if large is not None else None
    margin = MARGIN * (max(unit.kernels) - min(unit.kernels))
    return Trend(
        unit=unit.name,
        role=role,
        n=int(kernel.n),
        kernel=float(kernel.mean),
        kernel_half=none_if_nan(kernel.half),
        difference=None if difference is None else float(difference.mean),
        difference_half=None if difference is None else none_if_nan(difference.half),
        margin=margin,
        verdict=verdict(float(kernel.mean), float(kernel.half), margin),
    )


def verdict(slope: float, half: float, margin: float) -> Verdict:
    """The verdict on a slope with the interval `slope` +- `half`; `cannot tell` where `half` is NaN.

    `flat` goes before `rises` and `falls`: a slope that differs from 0 but is surely smaller than the margin is flat.
    """
    if math.isnan(half):
        return "cannot tell"
    if abs(slope) + half <= margin:
        return "flat"
    if abs(slope) > half:
        return "rises" if slope > 0 else "falls"
    return "cannot tell"


def large_minus_small(shares: npt.ArrayLike, kernels: Sequence[int]) -> FloatArray | None:
    """[...]: the share (or slope) of the larger kernel minus that of the smaller one, from `shares` [..., branch].

    None unless there are two branches of different windows.
    """
    if len(kernels) != 2 or kernels[0] == kernels[1]:
        return None
    both = np.asarray(shares, dtype=np.float64)
    large = int(np.argmax(kernels))
    return np.asarray(both[..., large] - both[..., 1 - large])


def expected_kernel(shares: npt.ArrayLike, kernels: Sequence[int]) -> FloatArray:
    """[...]: the sum over the branches of share times window in pixels, from `shares` [..., branch]."""
    return np.asarray(np.asarray(shares, dtype=np.float64) @ np.asarray(kernels, dtype=np.float64))


def measured(shares: npt.ArrayLike, kernels: Sequence[int], measure: Measure) -> FloatArray | None:
    """[...]: the measure, `large_minus_small` or `expected_kernel`, of `shares` [..., branch]."""
    return (large_minus_small if measure == "difference" else expected_kernel)(shares, kernels)


def levels(runs: Sequence[Analysis], measure: Measure) -> dict[str, Estimate]:
    """The measure of each unit at each enlargement: mean and interval over the runs of one cell, arrays
    [enlargement]. Units without such a measure are left out."""
    shares = {unit.name: np.array([run.units[at].mean for run in runs]) for at, unit in enumerate(runs[0].units)}
    measures = {unit.name: measured(shares[unit.name], unit.kernels, measure) for unit in runs[0].units}
    return {name: mean_interval(values.T) for name, values in measures.items() if values is not None}


def pooled(unit: UnitSummary, counts: npt.ArrayLike, keep: Literal["class", "bin", "nothing"]) -> FloatArray:
    """[branch, class or bin], or [branch] with `nothing`: the means of a unit's shares over the images of each class or
    bin, or over all. `counts` is that of the summary. NaN where there is no image.
    """
    weight = np.asarray(counts, dtype=np.float64)
    sums = np.nan_to_num(np.array(unit.mean, dtype=np.float64)) * weight
    kept = {"class": "mcb->mc", "bin": "mcb->mb", "nothing": "mcb->m"}[keep]
    with np.errstate(invalid="ignore"):
        return np.asarray(np.einsum(kept, sums) / np.einsum(kept, np.broadcast_to(weight, sums.shape)))


def by_class(unit: UnitAnalysis, enlargement: int, measure: Measure) -> FloatArray | None:
    """[class]: the measure of each class at the enlargement with this number; None where the unit has no such
    measure."""
    if not unit.by_class:
        return None
    shares = np.array(unit.by_class[enlargement], dtype=np.float64).T
    return measured(shares, unit.kernels, measure)
