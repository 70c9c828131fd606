"""A network that several cells build is trained, priced, counted and compared once; no run is really trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from launchers import FakeLauncher, start

from sklab.commands.screen.plan import differences_text, plan_text
from sklab.commands.screen.progress import heading
from sklab.report.build import study_table
from sklab.spec.study.search import Cost
from sklab.spec.study.sweep import Cell, Sweep
from sklab.store.records import RunRecord
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import complete, run_spec, training
from sklab.sweep.design.space import asked_for, searchable
from sklab.sweep.design.toy import toy
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan.plan import Plan, make_plan
from sklab.sweep.plan.prepared import Start, prepare
from sklab.sweep.plan.prices import Resources
from sklab.sweep.run.failures import retry
from sklab.sweep.run.index import StudyIndex, Todo
from sklab.sweep.state.status import study_status

pytestmark = pytest.mark.usefixtures("sound")

SWEEP = """\
experiment: toy.yaml
design: grid
seeds: 2
baseline: {r: 4, SK: "-"}
factors:
  r: {path: model.reduction, levels: [2, 4, 8]}
  SK: {path: model.attention, levels: {x: sk, "-": none}}
"""
SEARCH = SWEEP.replace("design: grid", "design: search\nsearch: {sampler: SAMPLER, trials: TRIALS}")
DUPLICATES = {"r=2, SK=-": "r=4, SK=-", "r=8, SK=-": "r=4, SK=-"}


@pytest.fixture
def sweep(toy_files: Path) -> Sweep:
    (toy_files / "sweep.yaml").write_text(SWEEP)
    return load_sweep(toy_files / "sweep.yaml")


def as_before(sweep: Sweep) -> Sweep:
    """The sweep as earlier versions made it: every cell with runs of its own."""
    cells = (Cell(name=cell.name, factors=cell.factors, settings=cell.settings) for cell in sweep.duplicates)
    made = tuple(complete(sweep.experiment, cell, sweep.seeds) for cell in cells)
    return sweep.model_copy(update={"cells": (*sweep.cells, *made), "duplicates": ()})


def trained(launcher: FakeLauncher) -> list[str]:
    return [RunFolder(job.folder).read_order().cell for job in launcher.submitted]


def plan_of(sweep: Sweep, study: StudyFolder) -> Plan:
    return make_plan(prepare(Start(sweep, study)), Resources(1), lambda _: (1, 1))


def keys_shown(study: StudyFolder) -> set[str]:
    return {run.key for row in study_table(study.path).rows for run in row.runs if run.state == "complete"}


def test_each_network_is_trained_once_with_every_seed(sweep: Sweep, study: StudyFolder) -> None:
    launcher = FakeLauncher()
    assert start(study, launcher)
    assert sorted(trained(launcher)) == sorted(2 * ["r=2, SK=x", "r=4, SK=x", "r=8, SK=x", "r=4, SK=-"])
    records = study.records()
    assert study_status(study.read_sweep(), study, records, 0.0).total == len(records) == 8
    assert start(study, again := FakeLauncher())
    assert again.submitted == []


def test_the_plan_says_which_cells_are_one_network(sweep: Sweep, study: StudyFolder) -> None:
    plan = plan_of(sweep, study)
    text = plan_text(plan)
    assert (plan.missing, len(plan.cells)) == (8, 4)
    assert "same network as r=4, SK=-, trained once: r=2, SK=-; r=8, SK=-" in text
    assert "every cell that is trained differs from r=4, SK=- in what it declares and in nothing else" in text
    assert "r=2, SK=-: same network as r=4, SK=-" in differences_text(plan)
    assert heading(sweep) == "sweep: 4 cells, 2 more are the same networks x 2 seeds on toy"


def test_the_table_shows_them_without_numbers_and_compares_none(sweep: Sweep, study: StudyFolder) -> None:
    start(study, FakeLauncher())
    table = study_table(study.path)
    assert [row.name for row in table.rows] == [cell.name for cell in (*sweep.cells, *sweep.duplicates)]
    assert {row.name: row.same_as for row in table.rows if row.same_as} == DUPLICATES
    assert all((row.n, row.mean, row.standing, row.pareto) == (0, None, "", ()) for row in table.rows[4:])
    assert sum(row.baseline is not None for row in table.rows) == 3


def test_finished_runs_of_a_study_begun_before_stay_in_its_table(
    sweep: Sweep, study: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr("launchers.load_sweep", lambda file: as_before(load_sweep(file)))
        start(study, FakeLauncher())
    assert len(study.records()) == len(keys_shown(study)) == 12
    for _ in range(2):
        assert start(study, launcher := FakeLauncher())
        assert launcher.submitted == []
        assert len(keys_shown(study)) == 12
        listed = {row.name: len(row.runs) for row in study_table(study.path).rows if row.same_as}
        assert listed == dict.fromkeys(DUPLICATES, 2)
        assert [cell.name for cell in study.read_sweep().cells] == [cell.name for cell in sweep.cells]
    plan = plan_of(sweep, study)
    assert (plan.missing, plan.change and plan.change.cells_removed) == (0, ())


def test_a_study_that_was_cut_short_before_goes_on_with_its_networks(
    sweep: Sweep, study: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr("launchers.load_sweep", lambda file: as_before(load_sweep(file)))
        start(study, FakeLauncher(lambda job, _: ("complete", "failed")[RunFolder(job.folder).read_order().spec.seed]))
    finished = keys_shown(study)
    assert len(finished) == 6
    start(study, launcher := FakeLauncher())
    assert sorted(trained(launcher)) == sorted(cell.name for cell in sweep.cells)
    assert finished < keys_shown(study)


def test_more_levels_change_no_key_of_those_that_were_there(toy_files: Path, sweep: Sweep, study: StudyFolder) -> None:
    start(study, FakeLauncher())
    start(study, launcher := FakeLauncher(), SWEEP.replace("[2, 4, 8]", "[1, 2, 4, 8, 16, 32]"))
    assert set(trained(launcher)) == {"r=1, SK=x", "r=16, SK=x"}


def test_a_cell_that_is_the_network_of_another_is_retried_as_that_one(sweep: Sweep, study: StudyFolder) -> None:
    start(study, FakeLauncher(lambda job, _: "diverged"))
    again = retry(study, ["r=8, SK=-"], failed=False)
    assert {record.cell for record in again} == {"r=4, SK=-"}


def test_a_toy_has_the_same_duplicates(sweep: Sweep) -> None:
    small = toy(sweep)
    assert {cell.name: cell.same_as for cell in small.duplicates} == DUPLICATES
    assert len({training(small.experiment, cell) for cell in small.cells}) == len(small.cells)


def search(folder: Path, sampler: str, trials: int) -> Sweep:
    (folder / "sweep.yaml").write_text(SEARCH.replace("SAMPLER", sampler).replace("TRIALS", str(trials)))
    return load_sweep(folder / "sweep.yaml")


@pytest.fixture
def ended(toy_order: Callable) -> Callable[[Todo], RunRecord]:
    def make(todo: Todo) -> RunRecord:
        order = toy_order(seed=todo.seed).model_copy(update={"key": todo.key, "cell": todo.cell.name})
        metrics = {"val_error": 10.0 + len(todo.cell.name), "val_loss": 1.0}
        return RunRecord.of(order, status="complete", last=metrics, best=metrics)

    return make


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsga2", "qmc"])
@pytest.mark.parametrize("trials", [3, 9])
def test_a_search_trains_no_network_twice(toy_files: Path, ended: Callable, sampler: str, trials: int) -> None:
    index = StudyIndex(toy_files / "study.log", search(toy_files, sampler, trials), {})
    records = {}
    while todo := index.next():
        records[todo.key] = ended(todo)
        index.tell(records[todo.key])
    found = index.sweep
    assert len({training(found.experiment, cell) for cell in found.cells}) == len(found.cells) == 4
    assert bool(index.shortfall) == (trials == 9)
    states = [trial.state.name for trial in index._trials._study.trials]
    assert states.count("COMPLETE") == 4
    assert set(states) <= {"COMPLETE", "FAIL"}
    resumed = StudyIndex(toy_files / "study.log", found, records)
    assert resumed.next() is None


def test_a_search_asks_for_as_many_cells_as_there_are_networks(toy_files: Path) -> None:
    sweep = search(toy_files, "tpe", 5)
    costs = {cell.name: Cost(params=1, macs=1) for cell in searchable(sweep)}
    assert (len(costs), asked_for(sweep, costs), asked_for(sweep)) == (6, 3, 5)


def test_networks_that_a_search_found_twice_before_are_kept_and_asked_for_once_more(
    toy_files: Path, study: StudyFolder
) -> None:
    sweep = search(toy_files, "tpe", 3)
    twice = [cell for cell in searchable(sweep) if cell.factors["SK"] == "-"]
    text = (toy_files / "sweep.yaml").read_text().replace("trials: 3", "trials: 1")
    start(study, FakeLauncher(), text)
    found = study.read_sweep().cells
    again = [cell for cell in twice if cell.name not in {one.name for one in found}]
    study.write_sweep(sweep.model_copy(update={"cells": (*found, *again)}))
    order = RunFolder(study.path / "runs" / found[0].runs[0]).read_order()
    for cell in again:
        for seed, key in cell.runs.items():
            spec = run_spec(sweep, cell, seed)
            run = study.run(key)
            run.path.mkdir()
            made = order.model_copy(update={"key": key, "cell": cell.name, "factors": cell.factors, "spec": spec})
            run.write_record(RunRecord.of(made, status="complete", last={"val_error": 9.0}, best={"val_error": 9.0}))
    launcher = FakeLauncher()
    assert start(study, launcher, text.replace("trials: 1", "trials: 2"))
    assert len(launcher.submitted) == 2
    now = study.read_sweep()
    assert [cell.name for cell in now.duplicates] == [cell.name for cell in again]
    assert len(keys_shown(study)) == 2 * (len(now.cells) + len(again))
