from __future__ import annotations

import fcntl

import pytest

from sklab.commands.screen.plan import plan_text
from sklab.commands.screen.status import status_text
from sklab.spec.study.sweep import Cell
from sklab.store.records import RunOrder, RunRecord
from sklab.sweep.design.cells import run_spec
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan.plan import make_plan
from sklab.sweep.plan.prepared import Start, prepare
from sklab.sweep.plan.prices import Resources
from sklab.sweep.run import preflight
from sklab.sweep.state.status import study_status

COST = 1_000, 2_000_000


@pytest.fixture
def sweep(toy_files):
    text = (toy_files / "sweep.yaml").read_text() + "  - {name: odd, set: {model.cardinality: 3}}\n"
    (toy_files / "sweep.yaml").write_text(text)
    return load_sweep(toy_files / "sweep.yaml")


def order_of(sweep, study, cell: Cell, seed: int, code) -> RunOrder:
    spec = run_spec(sweep, cell, seed)
    order = RunOrder(key=spec.key, study=sweep.study, cell=cell.name, spec=spec, code=code)
    study.run(order.key).write_order(order)
    return order


@pytest.fixture
def finish(sweep, study, toy_order):
    def make(cell: Cell, seed: int, **changes) -> None:
        order = order_of(sweep, study, cell, seed, toy_order().code)
        study.run(order.key).write_record(RunRecord.of(order, **{"status": "complete", **changes}))

    return make


def status_of(sweep, study, moment: float = 0.0):
    return study_status(sweep, study, study.records(), moment)


def test_a_fresh_plan_counts_everything_and_estimates_nothing(sweep, study):
    plan = make_plan(prepare(Start(sweep, study)), Resources(2), lambda _: COST)
    assert [cell.missing for cell in plan.cells] == [2, 2]
    assert (plan.complete, plan.missing, plan.seconds) == (0, 4, None)
    assert "G = 3 does not divide" in plan.invalid[0].reason
    text = plan_text(plan)
    assert "invalid: odd" in text
    assert "no estimate before the first finished run" in text
    assert "every cell differs from K3 in what it declares and in nothing else" in text


@pytest.mark.parametrize("columns", [80, 100])
def test_a_long_name_stands_above_its_numbers_where_the_terminal_is_narrow(sweep, study, monkeypatch, columns):
    long = "a cell whose name says all that there is to say of it, " * 3
    cells = (sweep.cells[0], sweep.cells[1].model_copy(update={"name": long}))
    plan = make_plan(prepare(Start(sweep.model_copy(update={"cells": cells}), study)), Resources(2), lambda _: COST)
    monkeypatch.delenv("COLUMNS", raising=False)
    whole, short, named = plan_text(plan).splitlines()[:3]
    assert named.startswith(f"{long}  ")
    monkeypatch.setenv("COLUMNS", str(columns))
    head, first, above, numbers = plan_text(plan).splitlines()[:4]
    assert above == long
    assert max(map(len, (head, first, numbers))) <= columns
    expected = (whole, short, named.removeprefix(long))
    assert [line.split() for line in (head, first, numbers)] == [line.split() for line in expected]


def test_complete_runs_that_lack_an_evaluation_are_counted(sweep, study, finish):
    finish(sweep.cells[0], 0)
    finish(sweep.cells[1], 0, status="diverged")
    assert "evaluated" not in plan_text(make_plan(prepare(Start(sweep, study)), Resources(2), lambda _: COST))
    plan = make_plan(prepare(Start(sweep.model_copy(update={"sizes": (32,)}), study)), Resources(2), lambda _: COST)
    assert (plan.missing, plan.unevaluated) == (2, 1)
    assert "only to be evaluated at a further size: 1" in plan_text(plan)


def test_an_estimate_takes_each_cells_own_time(sweep, study, finish):
    quick, slow = sweep.cells
    finish(quick, 0, wall_seconds=10.0)
    finish(slow, 0, wall_seconds=30.0)
    plan = make_plan(prepare(Start(sweep, study)), Resources(2), lambda _: COST)
    assert plan.seconds == pytest.approx(30), "in two slots the slow one decides"
    assert plan.device_hours == pytest.approx(40 / 3600)
    assert "about 30s, 0.01 CPU-slot-hours" in plan_text(plan)


def test_failed_runs_are_to_run_again_and_diverged_ones_are_not(sweep, study, finish):
    first, second = sweep.cells
    finish(first, 0, status="failed", failure="code", reason="boom")
    finish(second, 0, status="diverged", failure="diverged", reason="non-finite")
    plan = make_plan(prepare(Start(sweep, study)), Resources(1), lambda _: COST)
    assert [cell.missing for cell in plan.cells] == [2, 1]
    assert [{state: count for state, count in cell.counts.items() if count} for cell in plan.cells] == [
        {"failed": 1, "waiting": 1},
        {"diverged": 1, "waiting": 1},
    ]
    status = status_of(sweep, study)
    assert (status.counts["complete"], status.counts["waiting"], len(status.troubled)) == (0, 2, 2)
    assert "K3, seed 0: failed (code): boom" in status_text(status)


def test_status_shows_running_runs_only_while_a_runner_is_at_work(sweep, study, toy_order):
    order = order_of(sweep, study, sweep.cells[0], 0, toy_order().code)
    metrics = "epoch,train_loss,val_loss,val_error,lr,seconds\n1,2.0,2.0,55.5,0.1,3\n2,1."
    study.run(order.key).metrics_file.write_text(metrics)
    assert status_of(sweep, study).running == []
    with study.lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        study.run(order.key).write_order(order)
        status = status_of(sweep, study)
    assert (status.live, status.running[0].cell, status.counts["waiting"]) == (True, "K3", 3)
    assert not status_of(sweep, study).live


SEARCH = """\
experiment: toy.yaml
design: search
seeds: 1
baseline: {r: 4, D: 1, M: two}
search: {trials: 2}
factors:
  r: {path: model.reduction, levels: [2, 4, 8]}
  M: {path: model.branches, levels: {two: [{kernel: 3}, {kernel: 3}], one: [{kernel: 3}]}}
  D: {path: model.branches.0.dilation, levels: [1, 2, 3]}
"""


def test_the_check_asks_about_every_branch_of_a_search_space_with_few_networks(toy_files):
    (toy_files / "search.yaml").write_text(SEARCH)
    experiments = list(preflight._experiments(load_sweep(toy_files / "search.yaml")))
    chosen = preflight._covering(experiments)
    wanted = {(experiment.model.reduction, len(experiment.model.branches)) for experiment in experiments}
    assert {(network.model.reduction, len(network.model.branches)) for network in chosen} == wanted
    assert {branch.dilation for network in chosen for branch in network.model.branches} == {1, 2, 3}
    assert len(chosen) < len(experiments) / 2
