from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sklab.spec.study.sweep import Sweep
from sklab.store.records import RunRecord
from sklab.sweep.files.load import load_sweep
from sklab.sweep.run.index import StudyIndex, Todo

GRID = """\
experiment: toy.yaml
design: grid
seeds: {seeds}
baseline: {{r: 4, D: 2}}
factors:
  r: {{path: model.reduction, levels: {levels}}}
  D: {{path: model.branches.1.dilation, levels: [1, 2]}}
"""

SEARCH = """\
experiment: toy.yaml
design: search
seeds: {seeds}
baseline: {{r: 4, M: 2}}
search: {{sampler: {sampler}, trials: {trials}}}
factors:
  r: {{path: model.reduction, levels: [2, 4, 8]}}
  M:
    path: model.branches
    levels: {{2: [{{kernel: 3}}, {{kernel: 5}}], bad: [{{kernel: 3, groups: 3}}], 1: [{{kernel: 3}}]}}
"""


def sweep_of(folder: Path, text: str, **values: object) -> Sweep:
    (folder / "sweep.yaml").write_text(text.format(**values))
    return load_sweep(folder / "sweep.yaml")


@pytest.fixture
def ended(toy_order: Callable) -> Callable[..., RunRecord]:
    def make(todo: Todo, *, status: str = "complete", error: float = 10.0) -> RunRecord:
        order = toy_order(seed=todo.seed).model_copy(update={"key": todo.key, "cell": todo.cell.name})
        metrics = {"val_error": error, "val_loss": 1.0} if status == "complete" else {}
        return RunRecord.of(order, status=status, last=metrics, best=metrics)

    return make


def drain(index: StudyIndex, ended: Callable[..., RunRecord], status: str = "complete") -> dict[str, RunRecord]:
    records = {}
    while todo := index.next():
        records[todo.key] = ended(todo, status=status, error=float(len(records)))
        index.tell(records[todo.key])
    return records


def test_every_run_is_handed_out_once_seed_by_seed(toy_files, ended):
    sweep = sweep_of(toy_files, GRID, seeds=2, levels=[2, 4])
    index = StudyIndex(toy_files / "study.log", sweep, {})
    todos = [index.next() for _ in range(8)]
    assert [todo.seed for todo in todos] == [0] * 4 + [1] * 4
    assert {todo.key for todo in todos} == {key for cell in sweep.cells for key in cell.runs.values()}
    assert index.next() is None
    for todo in todos:
        index.tell(ended(todo))


def test_finished_and_diverged_runs_are_not_handed_out_again_but_failed_ones_are(toy_files, ended):
    sweep = sweep_of(toy_files, GRID, seeds=1, levels=[2, 4])
    index = StudyIndex(toy_files / "study.log", sweep, {})
    statuses = ["complete", "diverged", "failed"]
    records = {}
    for status in statuses:
        todo = index.next()
        records[todo.key] = ended(todo, status=status)
        index.tell(records[todo.key])
    failed, running = todo.key, index.next().key
    again = StudyIndex(toy_files / "study.log", sweep, records)
    assert {again.next().key, again.next().key} == {failed, running}
    assert again.next() is None


@pytest.mark.parametrize("damage", ["delete", "tear", "garbage", "keep"])
def test_the_journal_is_an_index_that_can_be_lost(toy_files, ended, damage):
    sweep = sweep_of(toy_files, GRID, seeds=2, levels=[2, 4])
    journal = toy_files / "study.log"
    index = StudyIndex(journal, sweep, {})
    todo = index.next()
    record = ended(todo)
    index.tell(record)
    if damage == "delete":
        journal.unlink()
    elif damage == "tear":
        journal.write_bytes(journal.read_bytes()[:-20])
    elif damage == "garbage":
        journal.write_text('{"op_code": "?"}\n')
    again = StudyIndex(journal, sweep, {record.key: record})
    assert again.remaining == 7
    drain(again, ended)
    assert StudyIndex(journal, sweep, {}).remaining == 8, "records decide what is done, not the journal"


def test_the_journal_knows_every_finished_run_once(toy_files, ended, monkeypatch):
    monkeypatch.setattr("sklab.sweep.run.journal._MOST_HELD", 3)
    sweep = sweep_of(toy_files, GRID, seeds=2, levels=[2, 4])
    journal = toy_files / "study.log"
    records = drain(StudyIndex(journal, sweep, {}), ended)
    for _ in range(2):
        index = StudyIndex(journal, sweep, records)
        complete = [trial for trial in index._trials._study.trials if trial.state.name == "COMPLETE"]
        assert sorted(trial.user_attrs["run"] for trial in complete) == sorted(records)
        assert {trial.value for trial in complete} == {float(number) for number in range(8)}
    journal.unlink()
    for _ in ("rebuilt", "read again"):
        trials = StudyIndex(journal, sweep, records)._trials._study.trials
        assert [trial.number for trial in trials] == list(range(8))
        assert {trial.value for trial in trials} == {float(number) for number in range(8)}


def test_more_levels_and_seeds_run_only_what_is_missing(toy_files, ended):
    small = sweep_of(toy_files, GRID, seeds=1, levels=[2, 4])
    records = drain(StudyIndex(toy_files / "study.log", small, {}), ended)
    grown = sweep_of(toy_files, GRID, seeds=2, levels=[2, 4, 8])
    more = drain(StudyIndex(toy_files / "study.log", grown, records), ended)
    assert len(more) == 12 - 4
    assert not set(more) & set(records)


def test_a_lock_left_by_a_killed_runner_does_not_block(toy_files):
    sweep = sweep_of(toy_files, GRID, seeds=1, levels=[2, 4])
    (toy_files / "study.log.lock").symlink_to("nowhere")
    assert StudyIndex(toy_files / "study.log", sweep, {}).next() is not None


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_search_runs_distinct_valid_cells_with_every_seed(toy_files, ended, sampler):
    sweep = sweep_of(toy_files, SEARCH, seeds=2, sampler=sampler, trials=3)
    index = StudyIndex(toy_files / "study.log", sweep, {})
    records = drain(index, ended)
    names = [cell.name for cell in index.sweep.cells]
    assert len(set(names)) == len(names) == 4, "the baseline and three more"
    assert len(records) == 8
    assert all("bad" in cell.name for cell in index.sweep.invalid)


def test_a_search_ends_when_its_space_is_exhausted(toy_files, ended):
    sweep = sweep_of(toy_files, SEARCH, seeds=1, sampler="random", trials=100)
    index = StudyIndex(toy_files / "study.log", sweep, {})
    records = drain(index, ended)
    assert len(records) == 6
    assert len(index.sweep.invalid) == 3
    assert index.remaining == 0


def test_a_resumed_search_goes_on_where_it_was(toy_files, ended):
    sweep = sweep_of(toy_files, SEARCH, seeds=1, sampler="tpe", trials=4)
    index = StudyIndex(toy_files / "study.log", sweep, {})
    records = {}
    for _ in range(2):
        todo = index.next()
        records[todo.key] = ended(todo)
        index.tell(records[todo.key])
    resumed = StudyIndex(toy_files / "study.log", index.sweep, records)
    more = drain(resumed, ended)
    assert not set(more) & set(records)
    assert len(resumed.sweep.cells) == 5
