"""What follows from each failure: pure decisions first, then a whole study with a scripted launcher."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklab.spec.networks import SETTINGS
from sklab.spec.run import RunSpec
from sklab.store.records import Code, RunOrder, RunRecord
from sklab.sweep.run import failures
from sklab.sweep.run.failures import ATTEMPTS, Retries, Tracebacks

DATA = {"name": "scaled_digits", "train_size": 64, "val_size": 32}


class Machine:
    """A launcher of so many runs at a time on one memory."""

    kind = "fake"

    def __init__(self, capacity: int = 1) -> None:
        self.capacity = capacity

    def fewer(self) -> bool:
        before, self.capacity = self.capacity, max(1, self.capacity // 2)
        return self.capacity < before


@pytest.fixture(autouse=True)
def _no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "oom_kills", lambda: 0)


def make_order(**train: int) -> RunOrder:
    recipe = {"epochs": 2, "batch_size": 16, "lr": 0.05, **train}
    experiment = {"data": DATA, "model": SETTINGS["sknet_small"], "train": recipe}
    spec = RunSpec.model_validate({"experiment": experiment, "seed": 0})
    return RunOrder(key=spec.key, study="s", cell="c", spec=spec, code=Code(version="0"))


def failed(order: RunOrder, failure: str, traceback: str = "") -> RunRecord:
    status = "diverged" if failure == "diverged" else "failed"
    return RunRecord.of(order, status=status, failure=failure, reason="why", traceback=traceback)


def attempts(failure: str, order: RunOrder, machine: Machine) -> list[RunOrder]:
    """The orders of a run that fails like this every time."""
    retries, made = Retries(machine, {}), []
    while True:
        made.append(retries.start(order))
        if not retries.again(made[-1], failed(made[-1], failure), 0):
            return made


@pytest.mark.parametrize("failure", ["preempted", "stale", "killed"])
def test_what_came_from_outside_is_tried_a_bounded_number_of_times(failure):
    assert len(attempts(failure, make_order(), Machine(4))) == ATTEMPTS


@given(steps=st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_attempts_that_get_further_do_not_count(steps):
    retries, order, furthest, in_vain = Retries(Machine(), {}), make_order(), 0, 0
    for step in steps:
        in_vain = 0 if step > furthest else in_vain + 1
        furthest = max(furthest, step)
        assert bool(retries.again(order, failed(order, "killed"), step)) == (in_vain < ATTEMPTS)
        if in_vain == ATTEMPTS:
            return


@pytest.mark.parametrize("failure", ["data", "code", "diverged"])
def test_what_would_happen_again_is_not_tried_again(failure):
    assert len(attempts(failure, make_order(), Machine(4))) == 1


def test_memory_runs_out_first_fewer_at_a_time_then_smaller_batches():
    machine = Machine(4)
    factors = [order.accumulate_factor for order in attempts("oom", make_order(batch_size=16), machine)]
    assert machine.capacity == 1
    assert factors == [1, 1, 1, 2, 4, 8], "4, 2, 1 at a time, then batches of 8, 4 and 2"


def test_runs_that_shared_a_memory_make_room_once():
    machine, orders = Machine(4), [make_order(epochs=epochs) for epochs in (1, 2, 3)]
    retries = Retries(machine, {})
    orders = [retries.start(order) for order in orders]
    said = [retries.again(order, failed(order, "oom"), 0) for order in orders]
    assert said == ["at most 2 runs at a time"] * 3


def test_what_is_said_of_smaller_batches_counts_those_that_were_accumulated_before():
    order, retries = make_order(batch_size=16, accumulate=3), Retries(Machine(), {})
    assert retries.again(retries.start(order), failed(order, "oom"), 0) == "batches of 8, 6 accumulated"


@given(
    batch_size=st.integers(2, 96), accumulate=st.integers(1, 4), devices=st.integers(1, 3), capacity=st.integers(1, 8)
)
def test_whatever_the_recipe_the_effective_batch_and_the_key_stay(batch_size, accumulate, devices, capacity):
    if batch_size % devices or batch_size < 2 * devices:
        return
    order = make_order(batch_size=batch_size, accumulate=accumulate, devices=devices)
    for tried in attempts("oom", order, Machine(capacity)):
        train = tried.experiment.train
        assert train.batch_size * train.accumulate == batch_size * accumulate
        type(train).model_validate(train.model_dump())
        assert (tried.key, tried.spec) == (order.key, order.spec)
        assert tried.spec.key == order.key


def test_a_run_in_smaller_batches_goes_on_in_them_with_the_next_runner():
    order = make_order().model_copy(update={"accumulate_factor": 2})
    killed = failed(order, "killed")
    assert killed.accumulate_factor == 2
    assert Retries(Machine(), {order.key: killed}).start(make_order()).accumulate_factor == 2


def test_the_kernels_count_tells_a_kill_for_memory(monkeypatch):
    count = iter([5, 5, 5, 6])
    monkeypatch.setattr(failures, "oom_kills", lambda: next(count))
    retries = Retries(Machine(), {})
    for expected in (False, True):
        retries.start(make_order())
        assert retries.killed_for_memory(make_order().key) is expected


def test_a_run_that_an_earlier_runner_started_is_tried_again_like_others():
    for failure in ("killed", "oom"):
        assert Retries(Machine(), {}).again(make_order(), failed(make_order(), failure), 0)
    assert not Retries(Machine(), {}).killed_for_memory(make_order().key)


def test_a_traceback_is_shown_once_whatever_addresses_stand_in_it():
    seen, order = Tracebacks(3), make_order()
    texts = [f"Traceback\n  line 1\nValueError: <object at 0x7f{digit}>" for digit in "12a"]
    said = [seen.add(failed(order, "code", text)) for text in texts[:2]]
    assert said == [texts[0], "the same traceback as of c, seed 0 (2 runs)"]
    assert not seen.enough
    assert seen.add(failed(order, "code", "another")) == "another"
    assert not seen.enough
    seen.add(failed(order, "code", texts[2]))
    assert seen.enough
    assert seen.add(failed(order, "oom", "no memory")) == ""
