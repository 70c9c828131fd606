"""The order of runs whose durations are known, and the time that is left by it."""

from __future__ import annotations

import fcntl
import os
from math import inf
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_runner import FakeLauncher, Seen

from sklab.spec.jobs import Probe
from sklab.spec.study.sweep import Sweep
from sklab.store.records import Code, RunOrder, RunRecord, Tracking
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import run_spec
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan import costs
from sklab.sweep.plan.costs import kept_probes
from sklab.sweep.plan.plan import make_plan
from sklab.sweep.plan.prepared import Start, prepare
from sklab.sweep.plan.prices import Resources, expected_left, packed, start_order, time_left
from sklab.sweep.plan.trained_data import HeldData
from sklab.sweep.run import runner
from sklab.sweep.run.index import StudyIndex
from sklab.sweep.run.orders import State
from sklab.sweep.run.runner import run_study
from sklab.sweep.state.status import study_status

GRID = """\
experiment: toy.yaml
design: grid
seeds: {seeds}
baseline: {{lr: 2}}
factors:
  lr: {{path: train.lr, levels: {{1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4}}}}
"""
SECONDS = {"lr=1": 10.0, "lr=2": 20.0, "lr=3": 30.0, "lr=4": 40.0}
LAST = {"val_error": 1.0, "val_loss": 1.0}


@pytest.fixture
def sweep(toy_files: Path) -> Sweep:
    return sweep_of(toy_files, GRID.format(seeds=3))


def sweep_of(folder: Path, text: str) -> Sweep:
    (folder / "sweep.yaml").write_text(text)
    return load_sweep(folder / "sweep.yaml")


def order_of(sweep: Sweep, name: str, seed: int) -> RunOrder:
    cell = next(cell for cell in sweep.cells if cell.name == name)
    spec = run_spec(sweep, cell, seed)
    return RunOrder(key=spec.key, study=sweep.study, cell=name, spec=spec, code=Code(version="1"))


def key_of(sweep: Sweep, name: str) -> str:
    return order_of(sweep, name, 1).key


def finish(sweep: Sweep, folder: StudyFolder) -> dict[str, RunRecord]:
    """Seed 0 of every cell, in as many seconds as SECONDS says."""
    orders = {name: order_of(sweep, name, 0) for name in SECONDS}
    for name, order in orders.items():
        record = RunRecord.of(order, status="complete", last=LAST, best=LAST, wall_seconds=SECONDS[name])
        folder.run(order.key).path.mkdir(parents=True)
        folder.run(order.key).write_record(record)
    return folder.records(order.key for order in orders.values())


def handed_out(index: StudyIndex, count: int) -> list[tuple[int, str]]:
    todos = [index.next() for _ in range(count)]
    return [(todo.seed, todo.cell.name) for todo in todos if todo]


def test_the_names_are_those_of_the_cells(sweep):
    assert [cell.name for cell in sweep.cells] == list(SECONDS)


def test_of_each_seed_the_baseline_comes_first_then_what_nobody_knows_then_the_longest(sweep, toy_files):
    known = {name: seconds for name, seconds in SECONDS.items() if name != "lr=1"}
    order = ["lr=2", "lr=1", "lr=4", "lr=3"]
    index = StudyIndex(toy_files / "study.log", sweep, {}, usual=known)
    assert index.upcoming == list(SECONDS) * 3
    assert handed_out(index, 12) == [(seed, name) for seed in range(3) for name in order]
    assert index.next() is None


def test_what_becomes_known_counts_from_the_next_seed_on(sweep, toy_files):
    known: dict[str, float] = {}
    index = StudyIndex(toy_files / "study.log", sweep, {}, usual=known)
    first = handed_out(index, 2)
    known |= SECONDS
    assert [name for _, name in first + handed_out(index, 2)] == ["lr=2", "lr=1", "lr=3", "lr=4"]
    assert [name for _, name in handed_out(index, 4)] == ["lr=2", "lr=4", "lr=3", "lr=1"]
    assert index.upcoming == ["lr=2", "lr=4", "lr=3", "lr=1"]


def test_a_search_goes_in_the_order_of_its_sampler(toy_files):
    searched = GRID.format(seeds=2).replace("design: grid", "design: search\nsearch: {sampler: random, trials: 3}")
    sweep = sweep_of(toy_files, searched)
    told = [
        handed_out(StudyIndex(toy_files / name, sweep, {}, usual=known), 8)
        for name, known in (("one.log", {}), ("other.log", SECONDS))
    ]
    assert told[0] == told[1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(known=st.dictionaries(st.sampled_from(list(SECONDS)), st.floats(0.1, 100)))
def test_the_runs_of_a_seed_are_sorted_and_none_is_lost(sweep, known):
    order = sorted(SECONDS, key=lambda cell: start_order(sweep, cell, known))
    assert sorted(order) == sorted(SECONDS)
    assert order[0] == "lr=2"
    assert [known.get(name, inf) for name in order[1:]] == sorted(known.get(name, inf) for name in order[1:])[::-1]
    assert order == sorted(order, key=lambda cell: start_order(sweep, cell, known)), "the same in every start"


def test_a_study_goes_by_what_its_own_runs_took(sweep, toy_files, monkeypatch):
    monkeypatch.setattr(runner, "ensure_sound", lambda *_: HeldData())
    folder = StudyFolder(toy_files / "results" / "sweep")
    finish(sweep, folder)
    launcher, seen = FakeLauncher(capacity=1), Seen()
    assert run_study(Start(sweep, folder, Code(version="1")), launcher, Tracking(), seen)
    names = [folder.run(job.folder.name).read_order().cell for job in launcher.submitted]
    assert names[:4] == ["lr=2", "lr=4", "lr=3", "lr=1"]
    assert seen.states[0].eta_seconds is not None


def test_plan_and_status_use_the_same_order(sweep, toy_files):
    folder = StudyFolder(toy_files / "results" / "sweep")
    folder.path.mkdir(parents=True)
    sweep = sweep.model_copy(update={"seeds": (0, 1), "cells": tuple(_two_seeds(sweep))})
    folder.write_sweep(sweep)
    records = finish(sweep, folder)
    in_order, as_listed = [20.0, 40.0, 30.0, 10.0], [10.0, 20.0, 30.0, 40.0]
    assert (packed(in_order, [0.0, 0.0]), packed(as_listed, [0.0, 0.0])) == (50.0, 60.0)
    assert make_plan(prepare(Start(sweep, folder)), Resources(2), lambda _: (1, 1)).seconds == 50.0
    with folder.lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        now = folder.lock_file.stat().st_mtime + 1.0
        for name in ("lr=2", "lr=4"):
            begun = folder.run(key_of(sweep, name))
            begun.write_order(order_of(sweep, name, 1))
            os.utime(begun.order_file, (now, now))
        assert study_status(sweep, folder, records, now).eta_seconds == pytest.approx(50.0)


def _two_seeds(sweep: Sweep):
    for cell in sweep.cells:
        yield cell.model_copy(update={"runs": {seed: cell.runs[seed] for seed in (0, 1)}})


def test_the_longest_first_ends_earlier_than_the_longest_last():
    assert packed([30.0, 10.0, 10.0, 10.0], [0.0, 0.0]) == 30.0
    assert packed([10.0, 10.0, 10.0, 30.0], [0.0, 0.0]) == 40.0


def test_the_time_left_counts_what_runs_and_how_the_rest_packs():
    usual = {"a": 10.0, "b": 30.0}
    assert time_left([("a", 4.0)], ["b", "a"], 0, usual, 2) == pytest.approx(30.0), "b starts now, a after the first"
    assert time_left([("a", 4.0)], ["b", "a"], 0, usual, 1) == pytest.approx(46.0)
    assert time_left([("a", 40.0)], [], 0, usual, 1) == pytest.approx(4.0), "overdue: a tenth of its age more"
    assert time_left([("new", 5.0)], ["new"], 0, usual, 1) == pytest.approx(15.0 + 20.0), "the unknown take the mean"
    assert time_left([], [], 4, usual, 2) == pytest.approx(40.0), "those that nobody has named yet"
    assert time_left([("a", 0.0)], ["a"], 3, {}, 1) is None
    running = [("a", 8.0), ("a", 0.0), ("b", 0.0)]
    assert time_left(running, ["a"], 0, usual, 1) == pytest.approx(40.0), "fewer slots: the next waits for all three"


@given(
    st.lists(st.floats(0.1, 100), min_size=1, max_size=20),
    st.lists(st.floats(0, 100), max_size=8),
    st.integers(1, 8),
)
def test_the_time_left_is_never_less_than_the_work_or_the_longest_run(waiting, ages, capacity):
    usual = {str(number): seconds for number, seconds in enumerate(waiting)}
    running = [("0", age) for age in ages[:capacity]]
    left = time_left(running, list(usual), 0, usual, capacity)
    work = sum(waiting) + sum(expected_left(waiting[0], age) for _, age in running)
    assert left is not None
    assert left >= max(work / capacity, *waiting) - 1e-6
    assert left <= work + 1e-6


def test_a_state_counts_all_runs():
    assert (
        State({"complete": 2, "failed": 1, "waiting": 2, "running": 1}, 2, ((None, None, 4.0),), eta_seconds=None).total
        == 6
    )


def test_probes_that_were_made_tell_before_anything_has_run(sweep, tmp_path, monkeypatch):
    launcher = FakeLauncher()
    assert kept_probes(sweep, launcher, tmp_path) == {}
    made = Probe(epochs=2, steps=10, val_steps=5, step_seconds=1.0, val_step_seconds=0.2, setup_seconds=3.0)
    experiment = run_spec(sweep, sweep.cells[2], 0).experiment
    folder = costs._folder(experiment, launcher, tmp_path)
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(made.model_dump_json())
    assert kept_probes(sweep, launcher, tmp_path) == {"lr=3": made}
