"""What runs cost: where a price comes from, how runs pack, what a budget is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklab.commands.screen.plan import budget_text, plan_text
from sklab.errors import SklabError
from sklab.launch.slots import Slot
from sklab.spec.jobs import Probe
from sklab.store.hardware import Hardware
from sklab.store.records import RunOrder, RunRecord
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import run_spec
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan.plan import make_plan, price_left, unpriced
from sklab.sweep.plan.prepared import Start, prepare
from sklab.sweep.plan.prices import Resources, hours, packed, resources_of

DURATIONS = st.lists(st.floats(0.1, 1e4), max_size=30)
PROBE = Probe(epochs=2, steps=10, val_steps=5, step_seconds=1.0, val_step_seconds=0.2, setup_seconds=3.0)


@pytest.fixture
def sweep(toy_files):
    return load_sweep(toy_files / "sweep.yaml")


def finish(sweep, folder: StudyFolder, at: int, code, seed: int = 0, **changes) -> None:
    folder.write_sweep(sweep)
    cell = sweep.cells[at]
    spec = run_spec(sweep, cell, seed)
    order = RunOrder(key=spec.key, study=folder.path.name, cell=cell.name, spec=spec, code=code)
    run = folder.run(order.key)
    run.write_order(order)
    run.weights_file.touch()
    run.metrics_file.touch()
    run.write_record(RunRecord.of(order, **{"status": "complete", **changes}))


@pytest.fixture
def code(toy_order):
    return toy_order().code


def prices_of(plan) -> list:
    return [cell.price and (cell.price.source, cell.price.seconds) for cell in plan.cells]


def test_a_price_is_known_from_own_runs_else_from_another_study_else_from_a_probe(sweep, study, code):
    third = sweep.cells[1].model_copy(
        update={"name": "third", "settings": {"train.lr": 0.01}, "runs": {0: "a", 1: "b"}}
    )
    sweep = sweep.model_copy(update={"cells": (*sweep.cells, third)})
    other = StudyFolder(study.path.parent / "other")
    finish(sweep, other, 0, code, wall_seconds=99.0)
    finish(sweep, other, 1, code, wall_seconds=30.0, peak_memory_mb=7.0)
    finish(sweep, study, 0, code, wall_seconds=10.0)
    assert set(unpriced(prepare(Start(sweep, study)))) == {"third"}
    plan = make_plan(prepare(Start(sweep, study)), Resources(1), lambda _: (1, 1), {"third": PROBE, "K3": PROBE})
    assert prices_of(plan) == [("runs", 10.0), ("study other", 30.0), ("probe", 3 + 2 * (10 + 1))]
    assert plan.seconds == pytest.approx(10 + 30 + 25 * 2), "one of two runs is taken over from the other study"
    assert "study other" in plan_text(plan)
    assert price_left(prepare(Start(sweep, study)), Resources(1), {"third": PROBE}).seconds == plan.seconds


def test_a_damaged_record_elsewhere_is_no_concern_of_this_study(sweep, study, code):
    other = StudyFolder(study.path.parent / "other")
    finish(sweep, other, 0, code, wall_seconds=99.0)
    other.run(sweep.cells[0].runs[0]).record_file.write_text('{"key": 1}')
    assert prices_of(make_plan(prepare(Start(sweep, study)), Resources(1), lambda _: (1, 1))) == [None, None]
    assert other.run(sweep.cells[0].runs[0]).record_file.exists()


def test_a_run_on_two_devices_takes_the_hours_of_both(sweep, study, code):
    finish(sweep, study, 0, code, wall_seconds=3600.0)
    tree = {**sweep.experiment, "train": {**sweep.experiment["train"], "devices": 2}}
    doubled = sweep.model_copy(update={"experiment": tree})
    plan = make_plan(prepare(Start(doubled, study)), Resources(1, gpu=True), lambda _: (1, 1))
    assert plan.device_hours == pytest.approx(2 * plan.missing)
    assert "6.00 GPU-hours" in plan_text(plan)


def hardware(threads: int, name: str = "H200") -> Hardware:
    return Hardware(host="here", device="cuda", device_name=name, threads=threads)


def test_runs_with_the_same_share_of_a_machine_price_a_cell_and_others_are_told(sweep, study, code):
    finish(sweep, study, 0, code, seed=0, wall_seconds=600.0, hardware=hardware(16))
    finish(sweep, study, 0, code, seed=1, wall_seconds=1800.0, hardware=hardware(4))
    finish(sweep, study, 1, code, seed=0, wall_seconds=1800.0, hardware=hardware(4))
    shared = resources_of((Slot("0", "H200", 4), Slot("1", "H200", 4)) * 2)
    plan = make_plan(prepare(Start(sweep, study)), shared, lambda _: (1, 1))
    assert prices_of(plan) == [("runs", 1800.0), ("runs", 1800.0)]
    assert plan.device_hours == pytest.approx(0.25), "half an hour of half of a GPU"
    assert "another device" not in plan_text(plan)
    alone = resources_of((Slot("0", "H200", 16),))
    plan = make_plan(prepare(Start(sweep, study)), alone, lambda _: (1, 1))
    assert prices_of(plan) == [("runs", 600.0), ("runs", 1800.0)]
    assert "prices of runs on another device, or with more or fewer at a time: K3+K5 SK" in plan_text(plan)
    assert plan.device_hours == price_left(prepare(Start(sweep, study)), alone).device_hours == pytest.approx(0.5)


def test_runs_on_another_device_price_a_cell_only_where_nothing_else_does_and_are_told(sweep, study, code):
    finish(sweep, study, 0, code, seed=0, wall_seconds=600.0, hardware=hardware(8))
    finish(sweep, study, 0, code, seed=1, wall_seconds=1800.0, hardware=hardware(8, "T4"))
    finish(sweep, study, 1, code, seed=0, wall_seconds=1800.0, hardware=hardware(8, "T4"))
    plan = make_plan(prepare(Start(sweep, study)), resources_of((Slot("0", "H200", 8),)), lambda _: (1, 1))
    assert prices_of(plan) == [("runs", 600.0), ("runs", 1800.0)]
    assert "prices of runs on another device, or with more or fewer at a time: K3+K5 SK" in plan_text(plan)


def test_shares_of_a_cpu_are_shared_with_nobody():
    assert resources_of((Slot(None, "cpu", 2),) * 4) == Resources(4, False, 2, 0, "cpu")


def test_a_cell_that_could_not_be_probed_says_why_and_costs_the_average_of_the_others(sweep, study):
    plan = make_plan(
        prepare(Start(sweep, study)),
        Resources(1),
        lambda _: (1, 1),
        {"K3": PROBE, "K3+K5 SK": Probe(fault="out of memory")},
    )
    assert plan.seconds == pytest.approx(4 * 25)
    assert "no price: K3+K5 SK: out of memory" in plan_text(plan)


@given(DURATIONS, st.lists(st.floats(0, 1e4), min_size=1, max_size=8))
def test_packing_never_beats_its_bounds(durations, busy):
    end = packed(durations, busy)
    total = sum(durations) + sum(busy)
    assert end >= max([*durations, *busy, total / len(busy)]) * (1 - 1e-9)
    assert end <= total * (1 + 1e-9)


@given(DURATIONS)
def test_one_slot_takes_the_sum(durations):
    assert packed(durations, [0.0]) == pytest.approx(sum(durations))


@pytest.mark.parametrize(("text", "expected"), [("90m", 1.5), ("40h", 40.0), ("2d", 48.0), ("0.5h", 0.5)])
def test_a_budget_is_a_time(text, expected):
    assert hours(text) == expected


@pytest.mark.parametrize("text", ["", "40", "h", "-1h", "1 h", "40 GPU-hours", "1e3h"])
def test_anything_else_is_refused_with_what_is_allowed(text):
    with pytest.raises(SklabError, match="allowed: a number with m, h or d, for example 90m, 40h or 2d"):
        hours(text)


def test_the_verdict_names_cost_and_budget():
    assert budget_text(52.04, "40h", over=True, gpu=True) == (
        "what is left takes about 52.0 GPU-hours, more than the budget of 40h"
    )
