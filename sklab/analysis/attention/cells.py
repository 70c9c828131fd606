"""What the records of a study tell of attention, cell by cell: from `attention.json` alone, or more where there is an
`analysis.json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sklab.analysis.attention.analyses import CellFindings, findings
from sklab.analysis.attention.trends import Measure, Trend, by_class, levels, measured, pooled, summary_trends, trends
from sklab.analysis.statistics.intervals import FloatArray, mean_interval
from sklab.errors import SklabError
from sklab.spec.analysis import Analysis, AttentionSummary, Unit
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
    """The measure of a unit per class, in order of its rise, for objects as they are."""

    unit: str
    classes: tuple[str, ...]
    values: FloatArray


def read_attention_results(runs: Mapping[str, Sequence[RunFolder]], baseline: str) -> AttentionResults:
    """The attention that the runs of each cell left. A record that can't be read, or compared with the others, is
    noted."""
    try:
        seen = tuple(_read(cell, of_cell) for cell, of_cell in runs.items())
        found = findings({one.cell: one.analyses for one in seen if one.analyses}, baseline)
    except SklabError as error:
        return AttentionResults(note=str(error))
    cells = [one for one in seen if one.has_units]
    measure = _measure(cells)
    return AttentionResults(tuple(replace(one, measure=measure) for one in cells), found)


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
        found = levels(seen.analyses, seen.measure)
        labels = {"objects as they are": 0, f"enlarged {seen.analyses[0].enlargements[-1]:g}×": -1}
    else:
        units = [unit for unit in seen.summaries[0].units if len(set(unit.kernels)) > 1]
        found = {unit.name: mean_interval(_by_bin(seen, unit).T) for unit in units}
        labels = {"smallest objects": 0, "largest objects": -1} if seen.summaries[0].scale_edges else {"all images": 0}
    series = {
        label: (np.array([of.mean[at] for of in found.values()]), np.array([of.half[at] for of in found.values()]))
        for label, at in labels.items()
    }
    return Sizes(tuple(found), series)


def _by_bin(seen: CellAttention, unit: Unit) -> FloatArray:
    """[seed, bin]: the measure of a unit."""
    at = [one.name for one in seen.summaries[0].units].index(unit.name)
    shares = [pooled(run.units[at], run.counts, "bin").T for run in seen.summaries]
    found = [measured(of_run, unit.kernels, seen.measure) for of_run in shares]
    return np.array([values for values in found if values is not None])


def slopes(seen: CellAttention) -> tuple[tuple[Trend, ...], str]:
    """How attention follows the scale of objects, unit by unit, and the name of this scale: the true one where
    known."""
    if seen.analyses and (found := trends(seen.analyses, "object")):
        return found, "true scale"
    if seen.summaries and (found := summary_trends(seen.summaries)):
        return found, "true scale"
    return (trends(seen.analyses, "enlargement") if seen.analyses else ()), "enlargement"


def per_channel(seen: CellAttention) -> list[Channels]:
    """The measure of two images per channel in the chosen units (paper, figure 3), for the first seed analysed."""
    if not seen.analyses:
        return []
    run = seen.analyses[0]
    kernels = {unit.name: unit.kernels for unit in run.units}
    found = [
        Channels(
            unit, image, run.classes[of[0].label], {one.enlargement: values for one, values in measures if len(values)}
        )
        for image in dict.fromkeys(one.image for one in run.samples)
        for of in ([one for one in run.samples if one.image == image],)
        for unit in run.chosen
        for measures in ([(one, _of_channels(one.weights[unit], kernels[unit], seen.measure)) for one in of],)
    ]
    return [one for one in found if one.values]


def _of_channels(weights: Sequence[Sequence[float]], kernels: Sequence[int], measure: Measure) -> FloatArray:
    """[channel]; nothing where the unit has no such measure."""
    found = measured(np.array(weights).T, kernels, measure)
    return np.array([]) if found is None else found


def per_class(seen: CellAttention) -> list[Classes]:
    """For a low, a middle and a high unit, the mean over seeds of the measure of each class, sorted."""
    found = _analysed_classes(seen) if seen.analyses else _recorded_classes(seen)
    names = np.array((seen.analyses or seen.summaries)[0].classes)
    ordered = {unit: np.argsort(values, kind="stable") for unit, values in found.items()}
    return [Classes(unit, tuple(map(str, names[order])), found[unit][order]) for unit, order in ordered.items()]


def _analysed_classes(seen: CellAttention) -> dict[str, FloatArray]:
    first = seen.analyses[0]
    places = {unit.name: at for at, unit in enumerate(first.units)}
    found = {
        name: [by_class(run.units[places[name]], 0, seen.measure) for run in seen.analyses] for name in first.chosen
    }
    return {
        name: np.mean([one for one in of if one is not None], axis=0) for name, of in found.items() if of[0] is not None
    }


def _recorded_classes(seen: CellAttention) -> dict[str, FloatArray]:
    units = seen.summaries[0].units
    chosen = sorted({0, len(units) // 2, len(units) - 1})
    found = {
        units[at].name: [
            measured(pooled(run.units[at], run.counts, "class").T, units[at].kernels, seen.measure)
            for run in seen.summaries
        ]
        for at in chosen
    }
    return {
        name: np.mean([one for one in of if one is not None], axis=0) for name, of in found.items() if of[0] is not None
    }
