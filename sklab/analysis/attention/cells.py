"""The recorded attention of a study, cell by cell: from the `attention.json` of its runs and, where there is one, their
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
    """The records of a cell's runs: at most one of each kind per seed.

    `measure` is the same for all cells that are shown together.
    """

    cell: str
    summaries: tuple[AttentionSummary, ...]
    analyses: tuple[Analysis, ...]
    measure: Measure = "difference"

    @property
    def has_units(self) -> bool:
        """Whether the network has attention."""
        return any(run.units for run in self.summaries) or any(run.units for run in self.analyses)


@dataclass(frozen=True)
class AttentionResults:
    """The cells whose networks have attention, and the findings of all cells that were analysed. `note` names a record
    that can't be used, else it is ""."""

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
    halves  half widths of their 95 % intervals, without the effects that seeds have on all classes; NaN for fewer than
            two seeds
    p       of the hypothesis that all classes are equal, adjusted for the units shown; NaN where there is no test
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
    """The attention that the runs of each cell recorded; nothing but a note where a record can't be read or compared
    with the others."""
    try:
        return attention_results(tuple(_read(name, of_cell) for name, of_cell in runs.items()), baseline)
    except SklabError as error:
        return AttentionResults(note=str(error))


def attention_results(every: Sequence[CellAttention], baseline: str = "") -> AttentionResults:
    """What the records of these cells show. Raises SklabError where they can't be compared."""
    results = findings({cell.cell: cell.analyses for cell in every if cell.analyses}, baseline)
    cells = [cell for cell in every if cell.has_units]
    measure = _measure(cells)
    return AttentionResults(tuple(replace(cell, measure=measure) for cell in cells), results)


def _measure(cells: Iterable[CellAttention]) -> Measure:
    """Large minus small where every unit of every cell has two branches, else the expected kernel."""
    units = [unit for cell in cells for unit in (cell.analyses or cell.summaries)[0].units]
    return "difference" if all(len(unit.kernels) == 2 for unit in units) else "kernel"


def _read(cell: str, runs: Iterable[RunFolder]) -> CellAttention:
    folders = tuple(runs)
    summaries, analyses = [run.read_attention() for run in folders], [run.read_analysis() for run in folders]
    return CellAttention(cell, tuple(filter(None, summaries)), tuple(filter(None, analyses)))


def by_size(cell: CellAttention) -> Sizes:
    """The measure for small and for large objects: for enlarged ones where runs were analysed, else by their true
    scale, else for all images together."""
    if cell.analyses:
        estimates = levels(cell.analyses, cell.measure)
        labels = {"objects as they are": 0, f"enlarged {cell.analyses[0].enlargements[-1]:g}×": -1}
    else:
        units = [unit for unit in cell.summaries[0].units if len(set(unit.kernels)) > 1]
        estimates = {unit.name: mean_interval(_by_bin(cell, unit).T) for unit in units}
        labels = {"smallest objects": 0, "largest objects": -1} if cell.summaries[0].scale_edges else {"all images": 0}
    series = {
        label: (
            np.array([estimate.mean[at] for estimate in estimates.values()]),
            np.array([estimate.half[at] for estimate in estimates.values()]),
        )
        for label, at in labels.items()
    }
    return Sizes(tuple(estimates), series)


def _by_bin(cell: CellAttention, unit: Unit) -> FloatArray:
    """[seed, bin]: the measure of a unit."""
    at = [other.name for other in cell.summaries[0].units].index(unit.name)
    shares = [pooled(run.units[at], run.counts, "bin").T for run in cell.summaries]
    measures = [measured(of_run, unit.kernels, cell.measure) for of_run in shares]
    return np.array([values for values in measures if values is not None])


def slopes(cell: CellAttention) -> tuple[tuple[Trend, ...], str]:
    """The trend of attention with the scale of objects, unit by unit, and the name of this scale: the true one where it
    is known."""
    if cell.analyses and (by_scale := trends(cell.analyses, "object")):
        return by_scale, "true scale"
    if cell.summaries and (by_scale := summary_trends(cell.summaries)):
        return by_scale, "true scale"
    return (trends(cell.analyses, "enlargement") if cell.analyses else ()), "enlargement"


def per_channel(cell: CellAttention) -> list[Channels]:
    """The measure of two images per channel in the chosen units (paper, figure 3), for the first seed analysed."""
    if not cell.analyses:
        return []
    run = cell.analyses[0]
    numbers = dict.fromkeys(sample.image for sample in run.samples)
    channels = [
        _channels(run, unit, [sample for sample in run.samples if sample.image == number], cell.measure)
        for number in numbers
        for unit in run.chosen
    ]
    return [image for image in channels if image.values]


def _channels(run: Analysis, unit: str, samples: Sequence[Sample], measure: Measure) -> Channels:
    """The channels of one image in one unit; `samples` are that image at its enlargements."""
    kernels = next(other.kernels for other in run.units if other.name == unit)
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


def per_class(cell: CellAttention) -> list[Classes]:
    """The measure per class of a low, a middle and a high unit."""
    by_unit = _analysed_classes(cell) if cell.analyses else _recorded_classes(cell)
    names = np.array((cell.analyses or cell.summaries)[0].classes)
    adjusted = holm([rows_differ(values) for values in by_unit.values()])
    return [
        _classes(unit, names, values, float(p)) for (unit, values), p in zip(by_unit.items(), adjusted, strict=True)
    ]


def _classes(unit: str, names: npt.NDArray[np.str_], values: FloatArray, p: float) -> Classes:
    """The classes of a unit from their `values` [class, seed]."""
    means = values.mean(axis=1)
    within_seed = values - np.nanmean(values, axis=0)
    order = np.argsort(means, kind="stable") if p < ALPHA else np.arange(len(means))
    return Classes(unit, tuple(map(str, names[order])), means[order], mean_interval(within_seed).half[order], p)


def _analysed_classes(cell: CellAttention) -> dict[str, FloatArray]:
    """[class, seed] by unit: the measure of each class, for the units that have one."""
    first = cell.analyses[0]
    places = {unit.name: at for at, unit in enumerate(first.units)}
    return _by_unit(
        {name: [by_class(run.units[places[name]], 0, cell.measure) for run in cell.analyses] for name in first.chosen}
    )


def _recorded_classes(cell: CellAttention) -> dict[str, FloatArray]:
    """The same from summaries, for the first unit, the middle one and the last."""
    units = cell.summaries[0].units
    return _by_unit(
        {
            units[at].name: [
                measured(pooled(run.units[at], run.counts, "class").T, units[at].kernels, cell.measure)
                for run in cell.summaries
            ]
            for at in sorted({0, len(units) // 2, len(units) - 1})
        }
    )


def _by_unit(runs: Mapping[str, Sequence[FloatArray | None]]) -> dict[str, FloatArray]:
    """[class, seed] by unit, for the units that have a measure."""
    known = {unit: [values for values in of_unit if values is not None] for unit, of_unit in runs.items()}
    return {unit: np.array(of_unit).T for unit, of_unit in known.items() if of_unit}
