"""A study as it is watched: running runs, what is left of them, and how the rest packs."""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sklab.commands.screen.status import status_text
from sklab.spec.jobs import PULSE_FILE, Pulse
from sklab.store.records import RunOrder, RunRecord
from sklab.store.states import study_lock
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import run_spec
from sklab.sweep.files.load import load_sweep
from sklab.sweep.state.status import RunStatus, StudyStatus, Watcher
from sklab.system.terminal import time_left

NOW = 1_000_000.0
HEADER = "epoch,train_loss,val_loss,val_error,lr,seconds\n"


@pytest.fixture
def sweep(toy_files):
    return load_sweep(toy_files / "sweep.yaml")


@pytest.fixture
def study(toy_files, sweep):
    folder = StudyFolder(toy_files / "results" / "sweep")
    folder.write_sweep(sweep)
    with folder.lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.utime(folder.lock_file, (NOW - 3600, NOW - 3600))
        yield folder


@pytest.fixture
def begin(sweep, study, toy_order):
    """Orders the run of a cell at a seed, `age` seconds ago."""

    def make(at: int, seed: int, age: float = 0.0) -> RunOrder:
        spec = run_spec(sweep, sweep.cells[at], seed)
        order = RunOrder(key=spec.key, study="sweep", cell=sweep.cells[at].name, spec=spec, code=toy_order().code)
        study.run(order.key).write_order(order)
        os.utime(study.run(order.key).order_file, (NOW - age, NOW - age))
        return order

    return make


def say(study, order, **changes) -> None:
    """The run's pulse, at this moment."""
    pulse = {"host": "h", "device_name": "H200", "epoch": 1, "step": 2, "steps": 4, "samples_per_second": 640.0}
    file = study.run(order.key).path / PULSE_FILE
    file.write_text(Pulse.model_validate({**pulse, "peak_memory_mb": 512.0, **changes}).model_dump_json())
    os.utime(file, (NOW, NOW))


def finish(study, order, **fields) -> None:
    study.run(order.key).write_record(RunRecord.of(order, **{"status": "complete", **fields}))


def test_a_running_run_is_told_with_all_that_it_says(study, begin):
    order = begin(0, 0, age=90.0)
    say(study, order, epoch=2, step=2, loss=1.25)
    study.run(order.key).metrics_file.write_text(HEADER + "1,2.0,2.0,55.5,0.1,40\n")
    status = Watcher(study).look(NOW)
    (run,) = status.running
    assert (run.epoch, run.epochs, run.metric, run.attempt, run.seconds) == (1, 2, 55.5, 1, 90.0)
    assert (run.device_name, run.samples_per_second, run.peak_memory_mb) == ("H200", 640.0, 512.0)
    assert run.remaining_seconds == pytest.approx(20.0), "half an epoch at 40 s each"
    shown = status_text(status)
    assert "1/2   2/4  1.250      55.50    640  512  1m 30s   20s    H200" in shown
    assert "sweep: 0 of 4 runs complete, 1 running, 3 waiting; a runner is at work" in shown


def test_what_an_earlier_attempt_said_does_not_count(study, begin):
    order = begin(0, 0, age=-10.0)
    say(study, order)
    assert Watcher(study).look(NOW).running[0].device_name == ""


def test_a_run_that_an_earlier_runner_left_waits_for_its_turn(study, begin):
    left, adopted = begin(0, 1, age=7200.0), begin(1, 1, age=7200.0)
    (study.run(adopted.key).path / "job.json").write_text('{"slurm": "7"}')
    begin(0, 0, age=10.0)
    status = Watcher(study).look(NOW)
    assert [(run.cell, run.seed) for run in status.running] == [("K3", 0), ("K3+K5 SK", 1)]
    assert {run.key: run.state for run in status.runs}[left.key] == "waiting"


def test_the_lock_is_as_old_as_the_hold_of_it(study):
    other = StudyFolder(study.path.parent / "other")
    other.path.mkdir()
    other.lock_file.touch()
    os.utime(other.lock_file, (NOW, NOW))
    with study_lock(other):
        assert other.lock_file.stat().st_mtime > NOW


def test_the_time_left_counts_what_runs_and_packs_what_does_not(study, begin):
    finish(study, begin(0, 0), wall_seconds=100.0)
    finish(study, begin(1, 0), wall_seconds=10.0)
    say(study, begin(0, 1, age=50.0), epoch=2, step=0)
    status = Watcher(study).look(NOW)
    assert status.running[0].remaining_seconds == pytest.approx(50.0)
    assert status.eta_seconds == pytest.approx(50.0 + 10.0), "one slot is taken, so one there is"
    say(study, begin(1, 1, age=5.0), epoch=2, step=0)
    assert Watcher(study).look(NOW).eta_seconds == pytest.approx(50.0), "both run: the longer decides"


def test_a_run_that_has_said_nothing_takes_what_the_others_took(study, begin):
    finish(study, begin(0, 0), wall_seconds=100.0)
    begin(1, 0, age=30.0)
    assert Watcher(study).look(NOW).eta_seconds == pytest.approx(70.0 + 2 * 100.0)


def test_nothing_is_expected_before_anything_is_known_or_without_a_runner(study, begin, sweep):
    begin(0, 0)
    assert Watcher(study).look(NOW).eta_seconds is None
    finish(study, begin(0, 0), wall_seconds=100.0)
    study.lock_file.unlink()
    study.lock_file.touch()
    assert Watcher(study).look(NOW).eta_seconds is None


def test_ended_runs_are_told_to_machines_and_failures_to_all(study, begin):
    finish(study, begin(0, 0), last={"val_error": 12.5}, epochs=2)
    finish(study, begin(1, 0), status="failed", failure="oom", reason="CUDA out of memory")
    status = Watcher(study).look(NOW)
    by_state = {run.state: run for run in status.runs}
    assert (by_state["complete"].metric, by_state["complete"].log) == (12.5, "")
    assert len(status.runs) == 4
    shown = status_text(status)
    command = f"sklab logs {study.argument} 'K3+K5 SK' 0"
    assert f"K3+K5 SK, seed 0: failed (oom): CUDA out of memory; {command}" in shown
    assert re.search(r"^K3 +0  complete    2/2      12\.50    0s$", shown, re.MULTILINE)
    assert re.search(r"^K3 +1   waiting$", shown, re.MULTILINE)
    assert not any(order.key in shown for order in (begin(0, 0), begin(1, 0))), "names, not keys"


def test_of_many_runs_the_running_and_the_failed_come_first_and_the_rest_is_counted(study):
    log = str(study.run("0" * 16).log_file)
    states = ["complete"] * 2000 + ["failed"] * 100 + ["running"] * 50 + ["waiting"] * 900
    runs = [RunStatus(cell="K3", seed=at, key=f"{at:016}", state=state, log=log) for at, state in enumerate(states)]
    counts = {**Watcher(study).look(NOW).counts, **Counter(states)}
    status = StudyStatus(
        study="s", metric="val_error", live=True, total=3050, counts=counts, eta_seconds=None, runs=runs
    )
    lines = status_text(status).splitlines()
    assert [line.split()[1] for line in lines[2:27]] == [str(seed) for seed in range(2100, 2125)]
    assert lines[27].startswith("K3, seed 2000: failed")
    assert lines[-1] == "and 2975 more runs (25 running, 75 failed, 1975 complete, 900 waiting): --json has all"
    assert len(lines) < 100


@pytest.mark.parametrize(
    ("left", "told"), [(0.0, "under 10s left"), (9.9, "under 10s left"), (61, "about 1m 01s left")]
)
def test_what_runs_is_never_told_to_end_in_no_time(left, told):
    assert time_left(left) == told


def test_a_watcher_reads_what_is_over_for_good_once_and_sees_what_is_new(study, begin):
    watcher = Watcher(study)
    first, second = begin(0, 0), begin(1, 0)
    finish(study, first)
    finish(study, second, status="failed", failure="code", reason="boom")
    assert watcher.look(NOW).counts["complete"] == 1
    study.run(first.key).record_file.unlink()
    finish(study, second)
    assert watcher.look(NOW).counts["complete"] == 2


WILD = st.one_of(st.floats(), st.integers(-3, 10**9).map(float))
FINITE = st.floats(-1e5, 1e5)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(epoch=st.integers(-1, 9), step=st.integers(-1, 9), steps=st.integers(-1, 9), took=WILD, wall=FINITE, age=FINITE)
def test_whatever_a_run_says_the_time_left_is_a_time_or_not_known(study, begin, epoch, step, steps, took, wall, age):
    order = begin(0, 0, age=age)
    told = {"host": "h", "device_name": "d", "samples_per_second": took, "peak_memory_mb": wall}
    pulse = study.run(order.key).path / PULSE_FILE
    pulse.write_text(json.dumps({**told, "epoch": epoch, "step": step, "steps": steps}))
    study.run(order.key).metrics_file.write_text(HEADER + f"{max(epoch, 1)},2.0,2.0,55.5,0.1,{took}\n")
    finish(study, begin(1, 0), wall_seconds=wall)
    status = Watcher(study).look(NOW)
    assert status.eta_seconds is None or 0 <= status.eta_seconds < math.inf
    assert status_text(status)
    assert json.loads(status.model_dump_json())
