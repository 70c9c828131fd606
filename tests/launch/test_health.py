"""Which GPUs are given up, and where a run that failed on one goes next."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklab.launch.base import Job
from sklab.launch.health import Health
from sklab.launch.local.launcher import LocalLauncher
from sklab.launch.slots import Slot, next_slot
from sklab.store.run_folder import RunFolder

GPUS = tuple(Slot(str(index), "H100", 1) for index in range(3))
A, B, C = Path("a"), Path("b"), Path("c")


def judged(health: Health, folder: Path, slot: Slot, *, sick: bool = True) -> str:
    health.ended(folder, slot.gpu)
    return health.judge(folder, sick=sick)


def test_two_runs_in_a_row_that_fail_on_a_gpu_end_its_use_and_this_is_told():
    health = Health("GPU")
    assert judged(health, A, GPUS[0]) == ""
    assert judged(health, B, GPUS[0]) == (
        "GPU 0 is given up: 2 runs in a row have failed on it because of it; no more runs go there"
    )
    assert health.given_up == ("0",)
    assert judged(health, C, GPUS[0]) == "", "what still ran there tells nothing new"


def test_a_run_that_fails_wherever_it_is_costs_no_gpu():
    health = Health("GPU")
    assert [judged(health, A, slot) for slot in GPUS * 2] == [""] * 6
    assert health.given_up == ()


def test_a_run_that_completes_in_between_shows_that_the_gpu_is_well():
    health = Health("GPU")
    for folder in (A, C):
        assert judged(health, folder, GPUS[0]) == ""
        assert judged(health, B, GPUS[0], sick=False) == ""
    assert health.given_up == ()


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.booleans()), max_size=30))
def test_a_gpu_is_given_up_only_by_two_runs_and_for_good(ends):
    health, last = Health("GPU"), {slot.gpu: set() for slot in GPUS}
    for run, at, sick in ends:
        told, before = judged(health, Path(str(run)), GPUS[at], sick=sick), last[GPUS[at].gpu]
        if len(before) < 2:
            last[GPUS[at].gpu] = before = before | {run} if sick else set()
            assert bool(told) == (len(before) == 2)
        else:
            assert told == ""
    assert sorted(health.given_up) == [slot.gpu for slot in GPUS if len(last[slot.gpu]) == 2]


def test_a_job_of_which_nobody_knows_where_it_was_costs_nothing():
    health = Health("GPU")
    assert [health.judge(folder, sick=True) for folder in (A, B)] == ["", ""]
    assert health.given_up == ()


def test_a_run_goes_elsewhere_if_it_can():
    health = Health("GPU")
    judged(health, A, GPUS[0])
    assert next_slot(GPUS, (), health.avoided_by(A)) == GPUS[1]
    assert next_slot(GPUS, GPUS[1:], health.avoided_by(A)) == GPUS[0]
    assert next_slot(GPUS, (), health.avoided_by(B)) == GPUS[0]


@pytest.fixture
def launcher():
    launcher = LocalLauncher(GPUS[:2])
    yield launcher
    launcher.stop()


def test_a_launcher_starts_nothing_more_on_a_gpu_that_it_has_given_up(launcher, tmp_path, toy_order):
    """Its runs fail at once: there is no GPU here, and each is said to have failed because of that."""

    def on(slot: Slot, seed: int) -> Job:
        order = toy_order(seed=seed, train={"batch_size": 5000})
        job = Job("train", tmp_path / order.key)
        RunFolder(job.folder).write_order(order)
        launcher.submit(job)
        [running] = launcher._running.values()
        assert running.slot == slot
        while not launcher.wait(10.0):
            pass
        return job

    assert launcher.judge(on(GPUS[0], 0), sick=True) == ""
    again = on(GPUS[1], 0)
    assert launcher.judge(again, sick=True) == ""
    assert launcher.judge(on(GPUS[0], 1), sick=True).startswith("GPU 0 is given up")
    assert launcher.capacity == 1
    assert launcher.judge(on(GPUS[1], 2), sick=True).startswith("GPU 1 is given up")
    assert launcher.capacity == 0
