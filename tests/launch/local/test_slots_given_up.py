"""Slots that are taken back: memory that ran out, and processes that do not even end when they are killed."""

from __future__ import annotations

import multiprocessing
import multiprocessing.process
import os

import pytest

from sklab.launch import watchdog
from sklab.launch.base import Ended, Job
from sklab.launch.fork.spare import SpareProcess
from sklab.launch.local.launcher import LocalLauncher, Running
from sklab.launch.slots import Slot, halved, without_one
from sklab.launch.watchdog import Watchdog
from sklab.store.run_folder import RunFolder
from sklab.system import processes


def test_half_of_the_slots_of_each_device_are_kept():
    cpu, gpus = Slot(None, "cpu", 1), [Slot(index, "H200", 4) for index in "01"]
    assert halved((cpu,) * 5) == (cpu, cpu)
    assert halved((cpu,)) == (cpu,)
    assert halved((*gpus, *gpus, *gpus)) == tuple(gpus)


def test_fewer_slots_hold_while_the_runs_of_before_go_on(tmp_path, toy_order):
    launcher = LocalLauncher((Slot(None, "cpu", 1),) * 2)
    for seed in range(2):
        order = toy_order(seed=seed, train={"epochs": 100_000})
        RunFolder(tmp_path / order.key).write_order(order)
        launcher.submit(Job("train", tmp_path / order.key))
    assert launcher.fewer()
    assert (launcher.capacity, len(launcher._running)) == (1, 2)
    assert not launcher.fewer()
    launcher.stop()
    assert launcher._running == {}


class Stuck:
    """A process in the kernel, in whose place the launcher looks at this: neither SIGKILL nor waiting ends it."""

    pid, exitcode = 2**22 + 1, None

    def __init__(self) -> None:
        self.killed, self.waited = 0, []
        read, self._write = os.pipe()
        self.sentinel = read

    def kill(self) -> None:
        self.killed += 1

    def join(self, timeout: float | None = None) -> None:
        assert timeout is not None, "it would be waited for for ever"
        self.waited.append(timeout)

    def is_alive(self) -> bool:
        return True

    def close(self) -> None:
        os.close(self.sentinel)
        os.close(self._write)


@pytest.fixture
def stuck(monkeypatch):
    process = Stuck()
    multiprocessing.process._children.add(process)
    yield process
    multiprocessing.process._children.discard(process)
    process.close()


def test_a_run_that_even_sigkill_does_not_end_is_left_alone_and_its_slot_given_up(stuck, tmp_path):
    launcher, job = LocalLauncher((Slot("0", "H100", 1), Slot("1", "H100", 1))), Job("train", tmp_path)
    launcher._running[tmp_path] = Running(job, Slot("0", "H100", 1), stuck, None)
    launcher._watchdog = Watchdog(1e-9, what_blocks=lambda _: "")
    ended = []
    while not ended:
        ended = launcher.wait(0.001)
    assert ended == [Ended(job, -9, hung=True, left=stuck.pid)]
    assert stuck.waited == [processes.PATIENCE] == [30.0]
    assert launcher.capacity == 1
    assert launcher._usable == (Slot("1", "H100", 1),)
    assert stuck not in multiprocessing.process._children, "at the end of this process all of these are waited for"
    launcher._running[tmp_path] = Running(job, Slot("1", "H100", 1), stuck, None)
    launcher.stop()
    assert (launcher.capacity, launcher._running) == (0, {})


def test_a_job_of_a_cluster_and_a_spare_process_do_not_wait_for_ever_either(stuck):
    assert not watchdog.end_group(stuck)
    spare = object.__new__(SpareProcess)
    spare._process, (spare._jobs, other) = stuck, multiprocessing.Pipe()
    spare.end()
    other.close()
    assert stuck.waited == [30.0, 30.0]


def test_one_of_two_slots_of_a_gpu_is_given_up():
    slots = (Slot("0", "H100", 1), Slot("1", "H100", 1)) * 2
    assert without_one(slots, "1") == (slots[0], *slots[2:])
    assert without_one(slots, "2") == slots
