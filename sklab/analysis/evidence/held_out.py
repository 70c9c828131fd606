"""The test split beside the validation images: the same comparisons on images by which nothing was chosen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sklab.analysis.evidence.blocks import block_means
from sklab.analysis.statistics.compare import Versus, compare, means
from sklab.analysis.statistics.intervals import FloatArray, mean_interval
from sklab.spec.study.sweep import Sweep
from sklab.store.dated import Reading, read_readings, read_tested
from sklab.store.measured.scores import FinalScore
from sklab.store.records import RunRecord
from sklab.store.study_folder import StudyFolder

if TYPE_CHECKING:
    from sklab.analysis.table.rows import AblationTable, Row, Run


@dataclass(frozen=True)
class OnTest:
    """The figures of one cell on the test split, in the unit of the metric; NaN where there is none.

    n, mean, half   over the runs that were evaluated there, with the half width of the mean's 95 % t interval
    gap, gap_half   the mean of test minus validation over the same runs, with its 95 % t interval: what choosing by
                    validation images made look better, and that these are other images
    baseline        the comparison with the baseline, as that on validation images; None on the baseline's own row
    """

    n: int = 0
    mean: float = math.nan
    half: float = math.nan
    gap: float = math.nan
    gap_half: float = math.nan
    baseline: Versus | None = None


@dataclass(frozen=True)
class Read:
    """One reading of the test split: its date (UTC, ISO 8601), and how many of the table's runs and seeds it had."""

    dated: str
    runs: int
    seeds: int


@dataclass(frozen=True)
class HeldOut:
    """What is known of a study's test split.

    rows      the figures of the cells by name
    values    of the runs, by key
    readings  in their order; without one, nothing has been read yet
    unread    complete runs that have not been evaluated there
    mixed     whether runs were evaluated on different images
    faults    why records of readings can't be read
    """

    rows: Mapping[str, OnTest]
    values: Mapping[str, float]
    readings: tuple[Read, ...] = ()
    unread: int = 0
    mixed: bool = False
    faults: tuple[str, ...] = ()


def read_held_out(study: StudyFolder, table: AblationTable) -> HeldOut | None:
    """What is known of the study's test split; None for a study without one."""
    splits = {row.name: _test_of(table.sweep, row.settings) for row in table.rows}
    if not any(splits.values()):
        return None
    runs = {run.key: (row, run) for row in table.rows for run in row.runs if run.record and run.value is not None}
    found = {key: _score(study, table.sweep, run.record, splits[row.name]) for key, (row, run) in runs.items()}
    scores = {key: score for key, score in found.items() if score is not None}
    values = {key: value for key, score in scores.items() if (value := score.value(table.sweep.metric)) is not None}
    readings, faults = read_readings(study)
    return HeldOut(
        rows=_rows(table, values),
        values=values,
        readings=tuple(_read(readings, {key: runs[key][1].seed for key in values})),
        unread=sum(bool(splits[row.name]) and key not in values for key, (row, _) in runs.items()),
        mixed=_mixed(scores),
        faults=faults,
    )


def _read(readings: Sequence[Reading], seeds: Mapping[str, int]) -> Iterator[Read]:
    """The readings that had runs which none before had, of those whose `seeds` are given by key."""
    seen: set[str] = set()
    for reading in readings:
        here = [key for key in reading.runs if key in seeds and key not in seen]
        seen |= set(here)
        if here:
            yield Read(reading.dated, len(here), len({seeds[key] for key in here}))


def _test_of(sweep: Sweep, settings: Mapping[str, Any]) -> Any:
    """What `data.test` is for a cell; None where it has no test split."""
    data = settings.get("data", sweep.experiment.get("data", {}))
    return settings.get("data.test", data.get("test") if isinstance(data, Mapping) else None)


def _score(study: StudyFolder, sweep: Sweep, record: RunRecord | None, test: Any) -> FinalScore | None:
    if record is None or test is None or not hasattr(record.spec.experiment.data, "test"):
        return None
    data = record.spec.experiment.data.model_copy(update={"test": test})
    return read_tested(study.run(record.key), record, data, sweep.metric.epoch)


def _mixed(scores: Mapping[str, FinalScore]) -> bool:
    """Whether runs with equal settings of the data were evaluated on different images."""
    held = {(score.data.identity(), score.fingerprint) for score in scores.values()}
    return len(held) > len({identity for identity, _ in held})


def _rows(table: AblationTable, values: Mapping[str, float]) -> dict[str, OnTest]:
    rows = [row for row in table.rows if row.runs and not row.same_as]
    seeds = table.sweep.seeds

    def of(row: Row, number: Any) -> list[float]:
        by_seed = {run.seed: number(run) for run in row.runs} if row.n else {}
        return [math.nan if (value := by_seed.get(seed)) is None else value for seed in seeds]

    def of_test(run: Run) -> float | None:
        return values.get(run.key)

    validation = np.array([of(row, lambda run: run.value) for row in rows]).reshape(len(rows), len(seeds))
    test = np.array([of(row, of_test) for row in rows]).reshape(len(rows), len(seeds))
    baseline = next((at for at, row in enumerate(rows) if row.is_baseline), None)
    return {row.name: on for row, on in zip(rows, on_test(table.sweep, validation, test, baseline), strict=True)}


def on_test(sweep: Sweep, validation: FloatArray, test: FloatArray, baseline: int | None) -> tuple[OnTest, ...]:
    """The figures of each row from the values (rows, seeds of the sweep) on both kinds of images; NaN where a run has
    none. `baseline` is the number of its row."""
    gaps = mean_interval(block_means(sweep, test - validation))
    values = block_means(sweep, np.where(np.isnan(validation), np.nan, test))
    there = baseline is not None and not np.all(np.isnan(values[baseline]))
    compared = compare(values, baseline, further=bool(sweep.baseline_seeds)) if baseline is not None and there else None
    estimate = means(values, compared.choice if compared else None)
    return tuple(
        OnTest(
            n=int(estimate.n[at]),
            mean=float(estimate.mean[at]),
            half=float(estimate.half[at]),
            gap=float(gaps.mean[at]),
            gap_half=float(gaps.half[at]),
            baseline=compared.rows[at] if compared and at != baseline and estimate.n[at] else None,
        )
        for at in range(len(values))
    )
