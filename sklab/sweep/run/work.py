"""The work that is left in a study when a runner starts, after the finished runs of other studies are taken over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sklab.analysis.table.replicates import with_requested_runs
from sklab.launch.base import Launcher
from sklab.spec.study.sweep import Sweep
from sklab.store.records import RunRecord, RunState
from sklab.store.states import unended_states
from sklab.store.study_folder import StudyFolder
from sklab.sweep.plan.costs import kept_probes
from sklab.sweep.plan.prepared import Prepared
from sklab.sweep.plan.prices import usual_seconds
from sklab.sweep.plan.reuse import take_over
from sklab.sweep.run.index import StudyIndex, Todo
from sklab.sweep.run.pruning import Pruner
from sklab.system.phases import phase


@dataclass(frozen=True)
class Work:
    """The work of a runner.

    index        the runs to train
    unevaluated  complete runs that lack an evaluation
    pruner       None where nothing is pruned
    usual        seconds that a run of each cell takes, as far as they are known; more become known as runs end
    """

    index: StudyIndex
    unevaluated: list[Todo]
    pruner: Pruner | None
    usual: dict[str, float]


def find_work(study: Prepared, launcher: Launcher) -> tuple[Prepared, Work]:
    """Take over the finished runs of other studies. Returns the study with their records, and what is left to do."""
    sweep, folder, records = study.sweep, study.folder, study.records
    pruner = Pruner(sweep, folder, study.costs, records) if sweep.search and sweep.search.pruning else None
    if pruner is None:
        records = _without_pruned(folder, records)
    study = replace(study, records=records)
    with phase("looking for finished runs in other studies"):
        records = _measured(sweep, folder, {**records, **take_over(study)})
    usual = usual_seconds(sweep, records, kept_probes(sweep, launcher, folder.path.parent))
    index = StudyIndex(folder.index_file, sweep, records, study.costs, usual)
    return replace(study, records=records), Work(index, _unevaluated(sweep, folder, records), pruner, usual)


def _without_pruned(folder: StudyFolder, records: dict[str, RunRecord]) -> dict[str, RunRecord]:
    """The records without pruned runs, for a study that does not prune any more; they will be trained again."""
    pruned = [key for key, record in records.items() if record.status == "pruned"]
    for key in pruned:
        folder.run(key).begin_attempt()
    return {key: record for key, record in records.items() if key not in pruned}


def _measured(sweep: Sweep, folder: StudyFolder, records: dict[str, RunRecord]) -> dict[str, RunRecord]:
    """The records without those that lack the study's metric and can still get it from the kept weights. Their runs
    have not ended for this study: what it does next may depend on them."""
    asked = [sweep.metric.name] if sweep.metric.measure.further else []
    lacking = {key for key, record in records.items() if folder.run(key).missing_metrics(record, asked)}
    return {key: record for key, record in records.items() if key not in lacking}


def _unevaluated(sweep: Sweep, folder: StudyFolder, records: dict[str, RunRecord]) -> list[Todo]:
    """The complete runs that lack an evaluation: its size or metric was added later, or evaluating failed."""
    needed = with_requested_runs(sweep, records).cells
    planned = (Todo(cell, seed, cell.runs[seed]) for seed in sweep.seeds for cell in needed if seed in cell.runs)
    figures = sweep.sizes, sweep.further_metrics
    return [todo for todo in planned if folder.run(todo.key).lacks_figures(records.get(todo.key), *figures)]


def left_before(folder: StudyFolder, keys: tuple[str, ...], records: Mapping[str, RunRecord]) -> dict[str, RunState]:
    """The states of the runs to start whose earlier attempt failed or was stopped, by key."""
    ended = {key: records[key].state for key in keys if key in records}
    states = {**ended, **unended_states(folder, (key for key in keys if key not in records))}
    return {key: state for key, state in states.items() if state in ("failed", "stopped")}
