"""What the records of a study tell of attention, cell by cell: from `attention.json` alone, or more where there is an
`analysis.json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sklab.analysis.attention.analyses import CellFindings, findings
from sklab.analysis.attention.trends import Measure, Trend, by_class, levels, measured, pooled, summary_trends, trends
from sklab.analysis.statistics.anova import rows_differ
from sklab.analysis.statistics.intervals import ALPHA, FloatArray, holm, mean_interval
from sklab.errors import SklabError
from sklab.spec.analysis import Analysis, AttentionSummary, Sample, Unit
from sklab.store.run_folder import RunFolder


@dataclass(frozen=True)
class CellAttention:
    """The records of a cell's runs, one of each kind per seed as far as there are any.

    `measure` is the same for all cells that are shown together.
    """

    cell: str
    summaries: tuple[AttentionSummary, ...]
    analyses: tuple[Analysis, ...]
    measure: Measure = "difference"

    @property
    def has_units(self) -> bool:
        """Whether the network has attention."""
        return any(one.units for one in self.summaries) or any(one.units for one in self.analyses)


@dataclass(frozen=True)
class AttentionResults:
    """The cells whose networks have attention, and the findings of all that were analysed; `note`: what was wrong."""

    cells: tuple[CellAttention, ...] = ()
    findings: tuple[CellFindings, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Sizes:
    """The measure per unit, in forward order: for each label its means and the half widths of their 95 % intervals."""

    units: tuple[str, ...]
    series: Mapping[str, tuple[FloatArray, FloatArray]]


@dataclass(frozen=True)
class Channels:
    """One image in one unit: the measure per channel, for each enlargement, array [channel]."""

    unit: str
    image: int
    label: str
    values: Mapping[float, FloatArray]


@dataclass(frozen=True)
class Classes:
    """The measure of a unit per class, for objects as they are.

    values  means over seeds (classes), in order of their rise where the classes are told apart, else as in the data set
    halves  half widths of their 95 % intervals, without what a seed does to all classes alike; NaN for fewer than two
            seeds
    p       that the classes differ at all, adjusted for the units shown; NaN where there is no test
    """

    unit: str
    classes: tuple[str, ...]
    values: FloatArray
    halves: FloatArray
    p: float

    @property
    def differ(self) -> bool:
        """Whether the classes are told apart."""
        return self.p < ALPHA


def read_attention_results(runs: Mapping[str, Sequence[RunFolder]], baseline: str) -> AttentionResults:
    """The attention that the runs of each cell left. A record that can't be read, or compared with the others, is
    noted."""
    try:
        seen = tuple(_read(cell, of_cell) for cell, of_cell in runs.items())
        results = findings({one.cell: one.analyses for one in seen if one.analyses}, baseline)
    except SklabError as error:
        return AttentionResults(note=str(error))
    cells = [one for one in seen if one.has_units]
    measure = _measure(cells)
    return AttentionResults(tuple(replace(one, measure=measure) for one in cells), results)


def _measure(cells: Iterable[CellAttention]) -> Measure:
    """Large minus small where every unit of every cell has two branches, else the expected kernel."""
    units = [unit for cell in cells for unit in (cell.analyses or cell.summaries)[0].units]
    return "difference" if all(len(unit.kernels) == 2 for unit in units) else "kernel"


def _read(cell: str, runs: Iterable[RunFolder]) -> CellAttention:
    folders = tuple(runs)
    summaries, analyses = [run.read_attention() for run in folders], [run.read_analysis() for run in folders]
    return CellAttention(cell, tuple(one for one in summaries if one), tuple(one for one in analyses if one))


def by_size(seen: CellAttention) -> Sizes:
    """Small objects against large ones: enlarged ones where analysed, else by true scale, else all images alike."""
    if seen.analyses:
        estimates = levels(seen.analyses, seen.measure)
        labels = {"objects as they are": 0, f"enlarged {seen.analyses[0].enlargements[-1]:g}×": -1}
    else:
        units = [unit for unit in seen.summaries[0].units if len(set(unit.kernels)) > 1]
        estimates = {unit.name: mean_interval(_by_bin(seen, unit).T) for unit in units}
        labels = {"smallest objects": 0, "largest objects": -1} if seen.summaries[0].scale_edges else {"all images": 0}
    series = {
        label: (
            np.array([estimate.mean[at] for estimate in estimates.values()]),
            np.array([estimate.half[at] for estimate in estimates.values()]),
        )
        for label, at in labels.items()
    }
    return Sizes(tuple(estimates), series)


def _by_bin(seen: CellAttention, unit: Unit) -> FloatArray:
    """[seed, bin]: the measure of a unit."""
    at = [one.name for one in seen.summaries[0].units].index(unit.name)
    shares = [pooled(run.units[at], run.counts, "bin").T for run in seen.summaries]
    measures = [measured(of_run, unit.kernels, seen.measure) for of_run in shares]
    return np.array([values for values in measures if values is not None])


def slopes(seen: CellAttention) -> tuple[tuple[Trend, ...], str]:
    """How attention follows the scale of objects, unit by unit, and the name of this scale: the true one where
    known."""
    if seen.analyses and (by_scale := trends(seen.analyses, "object")):
        return by_scale, "true scale"
    if seen.summaries and (by_scale := summary_trends(seen.summaries)):
        return by_scale, "true scale"
    return (trends(seen.analyses, "enlargement") if seen.analyses else ()), "enlargement"


def per_channel(seen: CellAttention) -> list[Channels]:
    """The measure of two images per channel in the chosen units (paper, figure 3), for the first seed analysed."""
    if not seen.analyses:
        return []
    run = seen.analyses[0]
    images = dict.fromkeys(sample.image for sample in run.samples)
    channels = [
        _channels(run, unit, [sample for sample in run.samples if sample.image == image], seen.measure)
        for image in images
        for unit in run.chosen
    ]
    return [one for one in channels if one.values]


def _channels(run: Analysis, unit: str, samples: Sequence[Sample], measure: Measure) -> Channels:
    """One image in one unit; `samples` are that image at its enlargements."""
    kernels = next(one.kernels for one in run.units if one.name == unit)
    values = {
        sample.enlargement: measures
        for sample in samples
        if len(measures := _channel_measures(sample.weights[unit], kernels, measure))
    }
    return Channels(unit, samples[0].image, run.classes[samples[0].label], values)


def _channel_measures(weights: Sequence[Sequence[float]], kernels: Sequence[int], measure: Measure) -> FloatArray:
    """[channel]: the measure of the shares `weights` [branch][channel]; empty where the unit has no such measure."""
    measures = measured(np.array(weights).T, kernels, measure)
    return np.array([]) if measures is None else measures


def per_class(seen: CellAttention) -> list[Classes]:
    """The classes of a low, a middle and a high unit, over seeds."""
    by_unit = _analysed_classes(seen) if seen.analyses else _recorded_classes(seen)
    names = np.array((seen.analyses or seen.summaries)[0].classes)
    adjusted = holm([rows_differ(values) for values in by_unit.values()])
    return [
        _classes(unit, names, values, float(p)) for (unit, values), p in zip(by_unit.items(), adjusted, strict=True)
    ]


def _classes(unit: str, names: npt.NDArray[np.str_], values: FloatArray, p: float) -> Classes:
    """`values` [class, seed]."""
    means = values.mean(axis=1)
    within_seed = values - np.nanmean(values, axis=0)
    order = np.argsort(means, kind="stable") if p < ALPHA else np.arange(len(means))
    return Classes(unit, tuple(map(str, names[order])), means[order], mean_interval(within_seed).half[order], p)


def _analysed_classes(seen: CellAttention) -> dict[str, FloatArray]:
    """By unit [class, seed]: the measure of each class, of the units that have one."""
    first = seen.analyses[0]
    places = {unit.name: at for at, unit in enumerate(first.units)}
    return _by_unit(
        {name: [by_class(run.units[places[name]], 0, seen.measure) for run in seen.analyses] for name in first.chosen}
    )


def _recorded_classes(seen: CellAttention) -> dict[str, FloatArray]:
    """The same from summaries: of the first unit, the middle one and the last."""
    units = seen.summaries[0].units
    return _by_unit(
        {
            units[at].name: [
                measured(pooled(run.units[at], run.counts, "class").T, units[at].kernels, seen.measure)
                for run in seen.summaries
            ]
            for at in sorted({0, len(units) // 2, len(units) - 1})
        }
    )


def _by_unit(runs: Mapping[str, Sequence[FloatArray | None]]) -> dict[str, FloatArray]:
    """[class, seed], of each unit that has a measure."""
    known = {unit: [values for values in of_unit if values is not None] for unit, of_unit in runs.items()}
    return {unit: np.array(of_unit).T for unit, of_unit in known.items() if of_unit}
