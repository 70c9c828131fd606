"""The race of a study with `replicates`, from its records, and the runs that are needed next.

Everything is a pure function of the sweep and the records; the caller decides which of them count as ended. A run that
ended without a number is a gap: nothing waits for it, and its cell is compared on the other seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from sklab.analysis.choice.race import BestRace, race_for_best
from sklab.analysis.evidence.nuisance import with_tuning_runs
from sklab.analysis.statistics import blocks
from sklab.analysis.statistics.intervals import BoolArray, FloatArray, rounding_variance
from sklab.analysis.statistics.sequential import Race, race, race_of_questions
from sklab.analysis.table.questions import question_weights, whole_pairs
from sklab.spec.study.questions import pairs_of
from sklab.spec.study.sweep import Cell, Replicates, Sweep
from sklab.store.records import RunRecord

_SIMULATED = 200
_SIMULATED_CHOICES = 10  # of the best cell, each of which takes a second


def race_of(sweep: Sweep, records: Mapping[str, RunRecord]) -> Race | None:
    """The looks that the records allow; None for a sweep whose seeds no test decides."""
    if sweep.replicates is None or sweep.by_best:
        return None
    values, ended = values_and_ends(sweep, records)
    return _race(sweep, sweep.replicates, values, ended, _first_runs_of(sweep, sweep.replicates, values, ended))


def best_race_of(sweep: Sweep, records: Mapping[str, RunRecord]) -> BestRace | None:
    """The rounds that the records allow, where seeds are added to find the best cell."""
    if sweep.replicates is None or not sweep.by_best:
        return None
    values, ended = values_and_ends(sweep, records)
    return race_for_best(sweep.metric.measure.sign * values, ended, sweep.replicates)


def first_seeds(sweep: Sweep, values: FloatArray) -> FloatArray:
    """The `values` (cells, seeds) that tests may use: all, or the first seeds of each cell where the data decide which
    cells get more to find the best one."""
    return values[:, : sweep.replicates.start] if sweep.replicates and sweep.by_best else values


def _race(sweep: Sweep, rule: Replicates, values: FloatArray, ended: BoolArray, first_runs: Mapping[str, int]) -> Race:
    sign = sweep.metric.measure.sign
    if sweep.by_question:
        return race_of_questions(values, ended, planned_weights(sweep, first_runs), rule, sign)
    return race(values, ended, _baseline(sweep), rule, sign)


def _first_runs_of(sweep: Sweep, rule: Replicates, values: FloatArray, ended: BoolArray) -> dict[str, int]:
    """The number of the first seeds of each cell that gave a value, or may still give one."""
    may = ~(ended & np.isnan(values))[:, : rule.start]
    return dict(zip((cell.name for cell in sweep.cells), may.sum(1).tolist(), strict=True))


def planned_weights(sweep: Sweep, runs: Mapping[str, int] | None = None) -> FloatArray:
    """The contrasts (questions, cells) of the planned questions, over the pairs that have enough runs; without `runs`,
    over all pairs."""
    cells = (*sweep.cells, *sweep.duplicates)
    pairs = (pairs_of(question, cells) for question in sweep.questions.values())
    kept = (of_question if runs is None else whole_pairs(of_question, runs) for of_question in pairs)
    return np.array([question_weights(sweep.cells, of_question) for of_question in kept]).reshape(-1, len(sweep.cells))


def with_requested_runs(sweep: Sweep, records: Mapping[str, RunRecord]) -> Sweep:
    """`sweep` with those runs that the records call for, ended or not. A pruned cell gets no further ones."""
    if sweep.nuisance:
        return with_tuning_runs(sweep, records)
    so_far = best_race_of(sweep, records) or race_of(sweep, records)
    if sweep.search and sweep.search.pruning:
        return _without_pruned(sweep, records)
    return sweep if so_far is None else _with_runs(sweep, [int(seeds) for seeds in so_far.requested])


def is_pruned(cell: Cell, records: Mapping[str, RunRecord]) -> bool:
    """Whether a run of the cell was pruned. Its other runs are not trained then, and none can be compared."""
    return any(key in records and records[key].status == "pruned" for key in cell.runs.values())


def _without_pruned(sweep: Sweep, records: Mapping[str, RunRecord]) -> Sweep:
    cells = tuple(_ended_runs(cell, records) if is_pruned(cell, records) else cell for cell in sweep.cells)
    return sweep.model_copy(update={"cells": cells})


def _ended_runs(cell: Cell, records: Mapping[str, RunRecord]) -> Cell:
    return cell.model_copy(update={"runs": {seed: key for seed, key in cell.runs.items() if key in records}})


def most_runs(sweep: Sweep) -> int:
    """The largest number of runs that the sweep can have."""
    rule, cells = sweep.replicates, len(sweep.cells)
    whole = cells * len(sweep.seeds)
    return min(whole, max(rule.runs, cells * rule.start)) if rule and rule.runs else whole


def expected_runs(sweep: Sweep, records: Mapping[str, RunRecord]) -> int:
    """The number of runs of the whole study, averaged over simulated studies in which the cells differ as their runs so
    far do. While the runs are too few to show a difference or a spread, no cell differs."""
    assert sweep.replicates is not None
    values, ended = values_and_ends(sweep, records)
    drawn = _drawn(values, np.random.default_rng(0))
    if sweep.by_best:
        studies = np.where(ended, values, drawn)[:_SIMULATED_CHOICES]
        return _expected_choices(sweep.metric.measure.sign * studies, sweep.replicates)
    whole = np.ones(drawn.shape, dtype=bool)
    filled = np.where(ended, values, drawn)
    first_runs = _first_runs_of(sweep, sweep.replicates, values, ended)
    return round(float(_race(sweep, sweep.replicates, filled, whole, first_runs).requested.sum(-1).mean()))


def _expected_choices(studies: FloatArray, rule: Replicates) -> int:
    whole = np.ones(studies.shape[1:], dtype=bool)
    return round(float(np.mean([race_for_best(study, whole, rule).requested.sum() for study in studies])))


def values_and_ends(sweep: Sweep, records: Mapping[str, RunRecord]) -> tuple[FloatArray, BoolArray]:
    """(cells, seeds): the values, NaN where there is none, and whether the run has ended."""
    runs = [[records.get(cell.runs.get(seed, "")) for seed in sweep.seeds] for cell in sweep.cells]
    values = [[_value(sweep, record) for record in of_cell] for of_cell in runs]
    return np.array(values), np.array([[record is not None for record in of_cell] for of_cell in runs])


def _value(sweep: Sweep, record: RunRecord | None) -> float:
    value = record.value(sweep.metric) if record is not None and record.status == "complete" else None
    return math.nan if value is None else value


def _baseline(sweep: Sweep) -> int:
    return next(at for at, cell in enumerate(sweep.cells) if cell.name == sweep.baseline)


def _with_runs(sweep: Sweep, called_for: list[int]) -> Sweep:
    cells = zip(sweep.cells, called_for, strict=True)
    return sweep.model_copy(update={"cells": tuple(_first_runs(cell, sweep, seeds) for cell, seeds in cells)})


def _first_runs(cell: Cell, sweep: Sweep, seeds: int) -> Cell:
    return cell.model_copy(update={"runs": {seed: cell.runs[seed] for seed in sweep.seeds[:seeds]}})


def _drawn(values: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Simulated studies (_SIMULATED, cells, seeds): the additive fit of `values` with normal errors."""
    fitted = blocks.fit(values)
    levels = values - fitted.seed_effects
    n = (~np.isnan(levels)).sum(-1)
    usual = np.nansum(levels) / max(n.sum(), 1)
    of_cell = np.where(n, np.nansum(levels, -1) / np.maximum(n, 1), usual)
    spread = math.sqrt(fitted.variance) if fitted.variance > rounding_variance(values) else 1.0
    errors = rng.standard_normal((_SIMULATED, *values.shape))
    return np.asarray(of_cell[:, None] + fitted.seed_effects + spread * errors)
