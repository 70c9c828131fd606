"""What the runs of a table made of each image: intervals for new seeds and images, and where the noise comes from."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sklab.analysis.evidence.blocks import block_size
from sklab.analysis.statistics.compare import Versus
from sklab.analysis.variance.crossed import Crossed, crossed, deviations, half_width
from sklab.analysis.variance.noise import Noise, noise_of
from sklab.spec.study.questions import Pair
from sklab.store.measured.images import IntArray, Outcomes, read_images
from sklab.store.records import RunRecord
from sklab.store.study_folder import StudyFolder

if TYPE_CHECKING:
    from sklab.analysis.table.rows import AblationTable

Weights = Mapping[str, float]  # of cells, by name


@dataclass(frozen=True)
class ImageEvidence:
    """What is known from single images. Nothing but the counts where a run lacks its images or has other ones.

    runs, lacking  complete runs of the table, and how many of them have no images
    images         that each run was judged on, and `sources`: how many they come from (as many where each is its own)
    same           whether all runs were judged on the same images
    halves         half widths of the differences from the baseline for new seeds and images, by row
    questions      the same of the planned questions
    larger         how many times as large as for new seeds the standard errors of both are, by row and by question
    noise          of one run; None where there is no spread, and where `vary` crosses runs
    """

    runs: int
    lacking: int
    images: int = 0
    sources: int = 0
    same: bool = True
    halves: Mapping[str, float] = field(default_factory=dict)
    questions: Mapping[str, float] = field(default_factory=dict)
    larger: tuple[float, ...] = ()
    noise: Noise | None = None


@dataclass(frozen=True)
class _Run:
    cell: str
    seed: int
    record: RunRecord
    value: float
    outcomes: Outcomes
    sources: IntArray | None


def image_evidence(study: StudyFolder, table: AblationTable) -> ImageEvidence | None:
    """The evidence of the images of the study whose `table` this is; None where no run has any, as of older versions,
    and for a metric that is no mean over images."""
    if not table.sweep.metric.measure.per_image:
        return None
    counted = [
        (row.name, run.seed, run.record, run.value)
        for row in table.rows
        for run in (row.runs if row.n else ())
        if run.value is not None and run.record is not None
    ]
    found = (
        _Run(*run, *images)
        for run in counted
        if (images := read_images(study.run(run[2].key), run[2], table.sweep.metric))
    )
    runs = list(found)
    if not runs:
        return None
    if len(runs) < len(counted):
        return ImageEvidence(len(counted), len(counted) - len(runs))
    if len({_images_of(run.record) for run in runs}) > 1:
        return ImageEvidence(len(runs), 0, same=False)
    return _evidence(runs, table)


def same_images(first: RunRecord, second: RunRecord) -> bool:
    """Whether two runs were certainly judged on the same images, whatever their size."""
    return _images_of(first) == _images_of(second) and not first.data_unknown


def _images_of(record: RunRecord) -> tuple[Any, ...]:
    """What decides which images a run was judged on. In another size they are the same images."""
    data = record.spec.trained.data
    settings = data.model_dump_json(exclude={*data.unkeyed, "image_size", "resize", "mean", "std"})
    held = record.fingerprint
    return settings, record.val_images, (held.listing, held.sample) if held else None


def _evidence(runs: Sequence[_Run], table: AblationTable) -> ImageEvidence:
    size, blocks = block_size(table.sweep), defaultdict(list)
    for run in runs:
        blocks[run.cell, run.seed // size].append(run)
    cells, numbers = (list(dict.fromkeys(names)) for names in zip(*blocks, strict=True))
    sources = next((run.sources for run in runs if run.sources is not None), None)
    images = len(runs[0].outcomes.wrong)
    groups = images if sources is None else int(sources.max()) + 1
    values = np.full((len(cells), len(numbers)), np.nan)
    deviating = np.full((*values.shape, groups), np.nan, dtype=np.float32)
    for (cell, number), block in blocks.items():
        if len(block) == size:
            at = cells.index(cell), numbers.index(number)
            values[at] = np.mean([run.value for run in block])
            of_images = np.mean([run.outcomes.of(table.sweep.metric) for run in block], axis=0)
            deviating[at] = deviations(of_images, sources)
    effects = crossed(deviating)
    rows = {row.name: ({row.name: 1.0, table.sweep.baseline: -1.0}, row.baseline) for row in table.rows if row.baseline}
    questions = {
        answer.name: (_weights([pair for pair, _ in answer.pairs]), answer.versus)
        for answer in table.questions
        if answer.sequential_verdict is None
    }
    (halves, of_rows), (asked, of_questions) = (_halves(effects, cells, each) for each in (rows, questions))
    larger, noise = (*of_rows, *of_questions), noise_of(values, effects) if size == 1 else None
    return ImageEvidence(len(runs), 0, images, groups, True, halves, asked, larger, noise)


def _weights(pairs: Sequence[Pair]) -> Weights:
    """The weights of cells in the mean difference over `pairs`."""
    weights: dict[str, float] = {}
    for pair in pairs:
        for sign, side in ((1, pair.cells), (-1, pair.against)):
            for name in side:
                weights[name] = weights.get(name, 0) + sign / len(side) / len(pairs)
    return weights


def _halves(
    effects: Crossed, cells: Sequence[str], contrasts: Mapping[str, tuple[Weights, Versus]]
) -> tuple[dict[str, float], list[float]]:
    """Half widths for new seeds and images, of those contrasts that have one for new seeds; and how many times as large
    their standard errors are."""
    tested = {
        name: (weights, versus)
        for name, (weights, versus) in contrasts.items()
        if not math.isnan(versus.half) and versus.error > 0 and weights.keys() <= set(cells)
    }
    if not tested:
        return {}, []
    matrix = np.array([[weights.get(cell, 0.0) for cell in cells] for weights, _ in tested.values()])
    error, df, half = (
        np.array([getattr(versus, part) for _, versus in tested.values()]) for part in ("error", "df", "half")
    )
    both = effects.standard_error(matrix, error, df)
    known, widths = ~np.isnan(both[0]), half_width(error, df, half, both)
    halves = {name: float(width) for name, width, is_known in zip(tested, widths, known, strict=True) if is_known}
    return halves, (both[0] / error)[known].tolist()
