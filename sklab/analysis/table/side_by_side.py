"""Studies side by side: cells with the same name that were trained on other data or by other code."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sklab.analysis.evidence.blocks import block_size
from sklab.analysis.evidence.paired import OverImages, over_images
from sklab.analysis.statistics import intervals
from sklab.analysis.statistics.intervals import FloatArray, RankAgreement, none_if_nan, rank_agreement
from sklab.analysis.table.rows import AblationTable, Row
from sklab.errors import SklabError
from sklab.spec.names import common_names
from sklab.spec.study.sweep import Metric
from sklab.store.records import RunRecord
from sklab.store.study_folder import StudyFolder

_NONE: Mapping[str, StudyFolder] = {}
_Numbers = tuple[int, float, float, float]  # n, mean, half, from the baseline


@dataclass(frozen=True)
class Shift:
    """A cell in a further study minus the same cell in the first one, over the `n` seeds that both have; `images`: the
    same paired by image, where both have kept what they made of the same images.

    `half` is of the 95 % t interval and `p` of the two-sided paired t test; `adjusted` is p after Holm over all
    tests of the comparison. None: fewer than two shared seeds, or no spread between them.
    """

    n: int
    mean: float | None
    half: float | None
    p: float | None
    adjusted: float | None
    images: OverImages | None = None


@dataclass(frozen=True)
class Entry:
    """A cell in one study: `n` complete runs, their mean with the half width of its 95 % t interval.

    from_baseline  mean difference from that study's own baseline, over the seeds that both have; None on its own row
    shift          against the first study; None in the first study itself
    """

    n: int
    mean: float | None
    half: float | None
    from_baseline: float | None
    shift: Shift | None


@dataclass(frozen=True)
class SideBySide:
    """The comparison. `cells`: for each name that at least two studies have, an entry per study, None where a study has
    no such cell.

    ranks  for each further study, the agreement of its order of cells with that of the first study
    alone  for each study, the cells that no other study has
    """

    studies: tuple[str, ...]
    metric: Metric
    cells: Mapping[str, tuple[Entry | None, ...]]
    ranks: tuple[RankAgreement, ...]
    alone: tuple[tuple[str, ...], ...]


def side_by_side(tables: Mapping[str, AblationTable], folders: Mapping[str, StudyFolder] = _NONE) -> SideBySide:
    """Compare studies, given by their names, with the first of them; by image where their `folders` are given.

    Raises SklabError for fewer than two, for studies of different metrics, and for studies without a common cell.
    """
    studies = tuple(tables.values())
    _check(tables)
    common = common_names([[row.name for row in table.rows if row.runs] for table in studies])
    rows = [
        {names[row.name]: row for row in table.rows if row.runs} for names, table in zip(common, studies, strict=True)
    ]
    studies_by_name = Counter(name for by_name in rows for name in by_name)
    names = [name for name, number in studies_by_name.items() if number > 1]
    if not names:
        raise SklabError(f"no cell is in two of these studies:\n{_cells(tables)}\ncells are compared by their names")
    shifts = _shifts(rows, names)
    if folders:
        shifts = _by_image(shifts, rows, names, [folders[name] for name in tables], studies[0].sweep.metric)
    baselines = [names_in.get(table.sweep.baseline, "") for names_in, table in zip(common, studies, strict=True)]
    numbers = [_entries(by_name, baseline, names) for by_name, baseline in zip(rows, baselines, strict=True)]
    cells = {
        name: tuple(_entry(of_study[at], shifts[study][at]) for study, of_study in enumerate(numbers))
        for at, name in enumerate(names)
    }
    means = [[math.nan if cell is None else cell[1] for cell in of_study] for of_study in numbers]
    alone = tuple(tuple(name for name in by_name if name not in names) for by_name in rows)
    ranks = tuple(rank_agreement(means[0], other) for other in means[1:])
    return SideBySide(tuple(tables), studies[0].sweep.metric, cells, ranks, alone)


def _check(tables: Mapping[str, AblationTable]) -> None:
    if len(tables) < 2:
        raise SklabError(f"found one study ({', '.join(tables)}); allowed: two different ones or more")
    if crossed := [name for name, table in tables.items() if block_size(table.sweep) > 1]:
        raise SklabError(
            f"runs of {', '.join(crossed)} share seeds (vary crosses them), so they can't be paired one by one; "
            f"allowed: studies without vary, or with a list of sources"
        )
    metrics = {
        name: f"{table.sweep.metric.name} at the {table.sweep.metric.epoch} epoch" for name, table in tables.items()
    }
    if len(set(metrics.values())) > 1:
        listed = "; ".join(f"{name}: {metric}" for name, metric in metrics.items())
        raise SklabError(
            f"these studies are about different numbers ({listed}); give their sweep files the same metric"
        )


def _cells(tables: Mapping[str, AblationTable]) -> str:
    shown = {name: [row.name for row in table.rows] for name, table in tables.items()}
    return "\n".join(
        f"  {name}: {', '.join(cells[:8])}{', …' if len(cells) > 8 else ''}" for name, cells in shown.items()
    )


def _values(row: Row | None, seeds: Sequence[int]) -> list[float]:
    by_seed = {run.seed: run.value for run in row.runs} if row else {}
    return [math.nan if (value := by_seed.get(seed)) is None else value for seed in seeds]


def _matrix(rows: Mapping[str, Row], names: Sequence[str], seeds: Sequence[int]) -> FloatArray:
    return np.array([_values(rows.get(name), seeds) for name in names], dtype=np.float64).reshape(len(names), -1)


def _shifts(rows: Sequence[Mapping[str, Row]], names: Sequence[str]) -> list[list[Shift | None]]:
    """The shifts by study and cell; p is adjusted over all of them."""
    seeds = sorted({run.seed for by_name in rows for row in by_name.values() for run in row.runs})
    first, *others = (_matrix(by_name, names, seeds) for by_name in rows)
    differences = [intervals.paired_difference(other, first) for other in others]
    adjusted = intervals.holm(np.concatenate([study.p for study in differences])).reshape(len(differences), -1)
    shifts: list[list[Shift | None]] = [
        [
            Shift(int(n), none_if_nan(mean), none_if_nan(half), none_if_nan(p), none_if_nan(of_all))
            for n, mean, half, p, of_all in zip(study.n, study.mean, study.half, study.p, adjusted_p, strict=True)
        ]
        for study, adjusted_p in zip(differences, adjusted, strict=True)
    ]
    return [[None] * len(names), *shifts]


def _by_image(
    shifts: Sequence[Sequence[Shift | None]],
    rows: Sequence[Mapping[str, Row]],
    names: Sequence[str],
    folders: Sequence[StudyFolder],
    metric: Metric,
) -> list[list[Shift | None]]:
    """The shifts with their comparison image by image; p is adjusted over all of them."""
    own = [(folders[0], _records(rows[0].get(name))) for name in names]
    found = [
        [
            over_images(first, (folder, _records(cells.get(name))), metric)
            for first, name in zip(own, names, strict=True)
        ]
        for cells, folder in zip(rows[1:], folders[1:], strict=True)
    ]
    p = np.array([[np.nan if one is None or one.p is None else one.p for one in of_study] for of_study in found])
    adjusted = intervals.holm(p.ravel()).reshape(p.shape)
    return [[*shifts[0]], *([*map(_with_images, *each)] for each in zip(shifts[1:], found, adjusted, strict=True))]


def _with_images(shift: Shift | None, images: OverImages | None, adjusted: float) -> Shift | None:
    if shift is None or images is None:
        return shift
    return replace(shift, images=replace(images, adjusted=none_if_nan(adjusted)))


def _records(row: Row | None) -> dict[int, RunRecord]:
    return {run.seed: run.record for run in row.runs if run.record and run.value is not None} if row else {}


def _entries(rows: Mapping[str, Row], baseline: str, names: Sequence[str]) -> list[_Numbers | None]:
    """The entries of one study, in the order of `names`; None for a cell that the study does not have."""
    seeds = sorted({run.seed for row in rows.values() for run in row.runs})
    values = _matrix(rows, names, seeds)
    estimate = intervals.mean_interval(values)
    difference = intervals.paired_difference(values, np.array(_values(rows.get(baseline), seeds)))
    difference.mean[[name == baseline for name in names]] = np.nan
    numbers = zip(names, estimate.n, estimate.mean, estimate.half, difference.mean, strict=True)
    return [(int(n), *map(float, others)) if name in rows else None for name, n, *others in numbers]  # type: ignore[misc]


def _entry(numbers: _Numbers | None, shift: Shift | None) -> Entry | None:
    if numbers is None:
        return None
    n, mean, half, from_baseline = numbers
    return Entry(n, none_if_nan(mean), none_if_nan(half), none_if_nan(from_baseline), shift)
