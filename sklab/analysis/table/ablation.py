"""The ablation table from the records of a study: a row per cell, with its runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from sklab.analysis.evidence.allocation import next_runs
from sklab.analysis.evidence.blocks import block_means, block_size, chances, not_asked, shared_values
from sklab.analysis.evidence.components import chance_of
from sklab.analysis.evidence.nuisance import (
    Stage,
    Tuning,
    Untuned,
    at_common_setting,
    at_tuned_settings,
    stage_of,
    tuned_cells,
)
from sklab.analysis.statistics import blocks, intervals
from sklab.analysis.statistics.compare import Comparisons, Versus, compare, means
from sklab.analysis.statistics.intervals import none_if_nan
from sklab.analysis.statistics.sequential import BETTER, NO_TEST, WORSE, Race
from sklab.analysis.table.costs import costs_of, pareto_sets
from sklab.analysis.table.effects import effects_of
from sklab.analysis.table.learning import learned
from sklab.analysis.table.looks import AtLook, family_at_look, judge_of, seen
from sklab.analysis.table.questions import answered, under_repeated_looking
from sklab.analysis.table.replicates import best_race_of, first_seeds, race_of, with_requested_runs
from sklab.analysis.table.rows import AblationTable, Also, AtSize, BaselineVerdict, Row, Run, Standing, also_of
from sklab.spec.study.sweep import Cell, Duplicate, InvalidCell, Metric, Sweep
from sklab.store.looks import NO_LOOKS, Looks
from sklab.store.measured.scores import Evaluation
from sklab.store.records import RunRecord, RunState

Evaluations = Mapping[str, Mapping[int, Evaluation]]  # by key and size
_NONE: Evaluations = {}
Others = Mapping[str, tuple[RunState, str]]  # state and reason, by key
_WAITS: tuple[RunState, str] = ("waiting", "no record yet")
_ALL_WAIT: Others = {}


def ablation_table(
    sweep: Sweep,
    records: Mapping[str, RunRecord],
    evaluations: Evaluations = _NONE,
    others: Others = _ALL_WAIT,
    looks: Looks = NO_LOOKS,
) -> AblationTable:
    """The table of `sweep`. Only complete runs enter its numbers.

    records      of the runs that have ended, by key
    evaluations  of these runs at the sweep's further sizes
    others       states and reasons of runs without a record; a run that is not named is waiting
    looks        at which verdicts were shown before
    """
    if stage := stage_of(sweep, records):
        table = ablation_table(at_tuned_settings(sweep, records), records, evaluations, others, looks)
        called_for = with_requested_runs(sweep, records).cells
        tried = tuple((cell, _runs(sweep, cell, records, evaluations, others)) for cell in called_for)
        return replace(table, tuning=_tuning(sweep, stage, records, looks, _spread(table)), tried=tried)
    race, for_best = race_of(sweep, records), best_race_of(sweep, records)
    sweep = with_requested_runs(sweep, records)
    runs = [_runs(sweep, cell, records, evaluations, others) for cell in sweep.cells]
    values, looked = _table_values(sweep, runs), seen(sweep, looks)
    at_look = judge_of(sweep, values.runs, looked)
    against_baseline = _at_look(sweep, values.tested, at_look)
    rows = _rows(sweep, runs, values, against_baseline, race)
    same = (_duplicate_row(sweep, cell, records, evaluations, others) for cell in sweep.duplicates)
    invalid = (_invalid_row(sweep, cell) for cell in sweep.invalid)
    answers = answered(sweep, sweep.questions, values.shared, partial(family_at_look, at_look=at_look))
    return AblationTable(
        sweep,
        (*rows, *same, *invalid),
        against_baseline.choice if against_baseline else None,
        effects_of(sweep, values.shared),
        race,
        under_repeated_looking(answers, race) if race is not None and sweep.by_question else answers,
        looked,
        for_best,
        sources=chance_of(sweep, values.runs),
        next_runs=next_runs(sweep, values.tested) if sweep.baseline_seeds else None,
    )


@dataclass(frozen=True)
class _TableValues:
    """The values of a table's cells, NaN where there is none.

    runs    (cells, seeds): of single runs
    blocks  (cells, seeds or blocks): what is compared
    tested  the part of it that tests may use, as no result decided which runs there are
    shared  of this, the seeds that cells share
    """

    runs: intervals.FloatArray
    blocks: intervals.FloatArray
    tested: intervals.FloatArray
    shared: intervals.FloatArray


def _table_values(sweep: Sweep, runs: Sequence[tuple[Run, ...]]) -> _TableValues:
    of_runs = np.array([_values(sweep, of_cell) for of_cell in runs]).reshape(len(runs), len(sweep.seeds))
    of_blocks = block_means(sweep, of_runs)
    tested = first_seeds(sweep, of_blocks)
    return _TableValues(of_runs, of_blocks, tested, shared_values(sweep, tested))


def _rows(
    sweep: Sweep, runs: Sequence[tuple[Run, ...]], values: _TableValues, against: Comparisons | None, race: Race | None
) -> list[Row]:
    """The rows of the cells that are trained, `against` the baseline."""
    estimate, sign = means(values.blocks, against.choice if against else None), sweep.metric.measure.sign
    chance = chances(sweep, values.blocks) if sweep.chooses_best else not_asked(len(runs))
    best = None if np.all(np.isnan(estimate.mean)) else int(np.nanargmin(sign * estimate.mean))
    against_best = _of_rows(_against_best(sweep, values, best), best, len(runs))
    facts = [_facts(sweep, cell, of_cell) for cell, of_cell in zip(sweep.cells, runs, strict=True)]
    sets = pareto_sets(sign * values.shared, facts)
    of_baseline = _of_rows(against, _index(sweep, sweep.baseline), len(runs))
    by_cell = race is not None and not sweep.by_question
    return [
        Row(
            **facts[at],
            n=int(estimate.n[at]),
            mean=none_if_nan(estimate.mean[at]),
            sd=none_if_nan(_deviation(values.blocks[at])),
            half=none_if_nan(estimate.half[at]),
            chance=none_if_nan(chance.best[at]),
            shrunken=none_if_nan(chance.mean[at]),
            baseline=of_baseline[at],
            best=against_best[at],
            at_size={size: _at_size(sweep, runs[at], size) for size in sweep.sizes},
            also={name: _also(sweep, runs[at], name) for name in sweep.also},
            standing=_standing(at == best, int(estimate.n[at]), against_best[at]),
            pareto=sets[at],
            sequential_verdict=_sequential_verdict(race, at) if by_cell and of_baseline[at] is not None else None,
            margin=math.nan if sweep.margin is None else sweep.margin,
        )
        for at in range(len(runs))
    ]


def _tuning(sweep: Sweep, stage: Stage, records: Mapping[str, RunRecord], looks: Looks, spread: float) -> Tuning:
    assert sweep.nuisance is not None
    rows = ablation_table(at_common_setting(sweep), records, looks=looks).rows
    untuned = {row.name: Untuned(row.n, row.mean, row.verdict) for row in rows}
    return Tuning(sweep.nuisance, tuned_cells(sweep, records), stage, untuned, spread)


def _spread(table: AblationTable) -> float:
    """The standard deviation of a run without the effects of seeds; NaN where the runs are too few."""
    values = np.array([_values(table.sweep, row.runs) for row in table.rows if row.n])
    return math.sqrt(variance) if len(values) and (variance := blocks.fit(values).variance) > 0 else math.nan


def _sequential_verdict(race: Race | None, at: int) -> BaselineVerdict | None:
    """The verdict under repeated looking in the words of a table."""
    if race is None:
        return None
    verdicts: dict[str, BaselineVerdict] = {BETTER: "better", WORSE: "worse", NO_TEST: "no test"}
    return verdicts.get(str(race.verdict[at]), "undecided")


def _runs(
    sweep: Sweep, cell: Cell, records: Mapping[str, RunRecord], evaluations: Evaluations, others: Others
) -> tuple[Run, ...]:
    planned = [(seed, cell.runs[seed]) for seed in sweep.seeds if seed in cell.runs]
    errors = {
        key: {size: evaluation.val_error for size, evaluation in evaluations.get(key, {}).items()} for _, key in planned
    }
    return tuple(
        _run(seed, key, record, sweep.metric, errors[key])
        if (record := records.get(key))
        else _other(seed, key, *others.get(key, _WAITS))
        for seed, key in planned
    )


def _other(seed: int, key: str, state: RunState, reason: str) -> Run:
    return Run(seed, key, state, reason=reason)


def _run(seed: int, key: str, record: RunRecord, metric: Metric, errors: Mapping[int, float]) -> Run:
    if record.status != "complete":
        kind = f"{record.failure}: " if record.state == "failed" and record.failure else ""
        return Run(seed, key, record.state, reason=kind + (record.reason or "no reason recorded"), record=record)
    value = record.value(metric)
    if value is None:
        return Run(seed, key, "failed", reason=f"the record has no {metric.name}", record=record)
    return Run(seed, key, "complete", value=value, record=record, errors=errors)


def _at_size(sweep: Sweep, runs: tuple[Run, ...], size: int) -> AtSize:
    errors = {} if _any_pruned(runs) else {run.seed: run.errors.get(size, math.nan) for run in runs}
    values = block_means(sweep, [errors.get(seed, math.nan) for seed in sweep.seeds])
    estimate = intervals.mean_interval([math.nan, *values])
    return AtSize(int(estimate.n), none_if_nan(float(estimate.mean)), none_if_nan(float(estimate.half)))


def _also(sweep: Sweep, runs: tuple[Run, ...], name: str) -> Also:
    found = {} if _any_pruned(runs) else {run.seed: also_of(sweep, run, name) for run in runs}
    values = block_means(sweep, [math.nan if (value := found.get(seed)) is None else value for seed in sweep.seeds])
    there = np.asarray(values)[~np.isnan(values)]
    mean = float(there.mean()) if len(there) else math.nan
    return Also(len(there), none_if_nan(mean), none_if_nan(_deviation(there)))


def _values(sweep: Sweep, runs: tuple[Run, ...]) -> list[float]:
    by_seed = {} if _any_pruned(runs) else {run.seed: run.value for run in runs}
    return [math.nan if (value := by_seed.get(seed)) is None else value for seed in sweep.seeds]


def _any_pruned(runs: tuple[Run, ...]) -> bool:
    return any(run.state == "pruned" for run in runs)


def _index(sweep: Sweep, name: str) -> int | None:
    return next((at for at, cell in enumerate(sweep.cells) if cell.name == name), None)


def _against_best(sweep: Sweep, values: _TableValues, best: int | None) -> Comparisons | None:
    if best is None:
        return None
    is_baseline = sweep.cells[best].name == sweep.baseline
    return _against_baseline(sweep, values.tested, best) if is_baseline else compare(values.shared, best)


def _against_baseline(
    sweep: Sweep, values: intervals.FloatArray, baseline: int, alpha: float = intervals.ALPHA
) -> Comparisons:
    return compare(values, baseline, alpha, further=bool(sweep.baseline_seeds))


def _at_look(sweep: Sweep, values: intervals.FloatArray, at_look: AtLook) -> Comparisons | None:
    """The comparisons with the baseline, at the level of this look."""
    baseline = _index(sweep, sweep.baseline)
    if baseline is None:
        return None
    rows = at_look(values, judge=lambda part, alpha: _against_baseline(sweep, part, baseline, alpha).rows)
    return replace(_against_baseline(sweep, values, baseline), rows=rows)


def _of_rows(comparisons: Comparisons | None, reference: int | None, rows: int) -> list[Versus | None]:
    """The comparison of each row; None for the reference itself."""
    if comparisons is None:
        return [None] * rows
    return [None if at == reference else versus for at, versus in enumerate(comparisons.rows)]


def _deviation(values: intervals.FloatArray) -> float:
    there = values[~np.isnan(values)]
    return float(there.std(ddof=1)) if len(there) > 1 else math.nan


def _standing(is_best: bool, n: int, against_best: Versus | None) -> Standing:
    if is_best:
        return "best"
    if n == 0 or against_best is None:
        return ""
    if math.isnan(against_best.adjusted):
        return "cannot tell"
    return "worse" if against_best.adjusted < intervals.ALPHA else "not distinguishable"


def _facts(sweep: Sweep, cell: Cell, runs: tuple[Run, ...]) -> dict[str, Any]:
    records = [run.record for run in runs if run.state == "complete" and run.record is not None]
    known = {
        "settings": cell.settings,
        "runs": runs,
        "block": block_size(sweep),
        **learned([] if _any_pruned(runs) else records, sweep.metric),
    }
    return {**_identity(sweep, cell), **known, **costs_of(records)}


def _identity(sweep: Sweep, cell: Cell | InvalidCell) -> dict[str, Any]:
    published = sweep.published.rows.get(cell.name) if sweep.published else None
    is_baseline = cell.name == sweep.baseline
    return {
        "name": cell.name,
        "factors": cell.factors,
        "is_baseline": is_baseline,
        "measure": sweep.metric.measure,
        "published": published,
    }


def _duplicate_row(
    sweep: Sweep, cell: Duplicate, records: Mapping[str, RunRecord], evaluations: Evaluations, others: Others
) -> Row:
    """The row of a duplicate, without numbers. If an earlier version of sklab has trained runs of it, it lists them."""
    seeded = sweep.model_copy(update={"seeds": tuple(cell.runs)})
    runs = _runs(seeded, cell, records, evaluations, others)
    return Row(**_identity(sweep, cell), settings=cell.settings, runs=runs, same_as=cell.same_as)


def _invalid_row(sweep: Sweep, cell: InvalidCell) -> Row:
    return Row(**_identity(sweep, cell), settings={}, runs=(), invalid=cell.reason)
