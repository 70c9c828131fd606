"""Who else uses the GPUs while a study goes on: nvidia-smi and the clock are faked, one process is real."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from sklab.launch.base import Job
from sklab.launch.local.gpus import OtherUsers
from sklab.launch.local.launcher import LocalLauncher, Running
from sklab.launch.slots import Slot
from sklab.store.run_folder import RunFolder
from sklab.system.nvidia import GpuUse

GPU0, GPU1 = Slot("0", "H200", 4), Slot("1", "H200", 4)
NOBODY = {"0": (500.0, ()), "1": (500.0, ())}


class Machine:
    """GPUs 0 and 1, whose memory in use and processes the test sets, and a clock."""

    def __init__(self) -> None:
        self.now, self.looks, self.told = 0.0, 0, []
        self.there = dict(NOBODY)
        self.other_users = OtherUsers(self.told.append, self.see, lambda: self.now)

    def see(self) -> tuple[GpuUse, ...]:
        self.looks += 1
        return tuple(GpuUse(gpu, "H200", used, 150_000.0, 0.0, who) for gpu, (used, who) in self.there.items())

    def look(self, *running: tuple[Slot, int], slots: tuple[Slot, ...] = (GPU0, GPU1)) -> tuple[Slot, ...]:
        """What is usable once there was time for a second look."""
        for seconds in (10.0, 2.0):
            self.now += seconds
            self.other_users.look(running, slots)
        return self.other_users.usable(slots)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def stranger() -> Iterator[str]:
    """A process outside our groups, as nvidia-smi names it."""
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    yield f"{process.pid} (python3)"
    process.kill()
    process.wait()


def test_what_somebody_else_holds_is_left_alone_until_it_is_free_and_both_are_told_once(machine):
    assert machine.look() == (GPU0, GPU1)
    machine.there["1"] = (30_000.0, ("4711 (train)",))
    assert machine.look() == machine.look() == (GPU0,)
    machine.there["1"] = NOBODY["1"]
    assert machine.look() == (GPU0, GPU1)
    assert machine.told == [
        "GPU 1 is used by somebody else now: 30.0 of 150.0 GB, process 4711 (train); "
        "no more runs go there while another GPU is free",
        "GPU 1 is free again, and gets runs",
    ]


def test_what_a_run_leaves_for_a_moment_is_nobody_elses(machine):
    """Its loader's processes die, and hold the GPU until they have."""
    machine.there["1"] = (30_000.0, ("4711 (pt_data_worker)",))
    machine.now = 10.0
    machine.other_users.look([], (GPU0, GPU1))
    assert machine.other_users.usable((GPU0, GPU1)) == (GPU0,), "nothing starts there before it is known"
    assert (machine.other_users.used, machine.other_users.watching, machine.told) == (frozenset(), True, [])
    machine.now = 11.9
    machine.other_users.look([], (GPU0, GPU1))
    assert machine.looks == 1
    machine.there["1"], machine.now = NOBODY["1"], 12.0
    machine.other_users.look([], (GPU0, GPU1))
    assert machine.other_users.usable((GPU0, GPU1)) == (GPU0, GPU1)
    assert (machine.looks, machine.other_users.watching, machine.told) == (2, False, [])


def test_one_who_is_believed_on_one_gpu_does_not_vouch_for_another(machine):
    machine.there["1"] = (30_000.0, ())
    assert machine.look() == (GPU0,)
    machine.there["0"] = (30_000.0, ())
    machine.now += 10.0
    machine.other_users.look([], (GPU0, GPU1))
    assert machine.other_users.used == {"1"}
    machine.there["0"] = NOBODY["0"]
    assert machine.look() == (GPU0,)
    assert len(machine.told) == 1


def test_it_is_not_asked_more_often_than_every_ten_seconds(machine):
    for _ in range(35):
        machine.now += 1.0
        machine.other_users.look([], (GPU0, GPU1))
    assert machine.looks == 3


def test_beside_our_own_run_memory_and_unknown_numbers_are_ours(machine, stranger):
    mine = f"{os.getpid()} (python3)"
    machine.there["1"] = (90_000.0, (mine, f"{2**22 + 7} (seen in a container)"))
    assert machine.look((GPU1, os.getpgrp())) == (GPU0, GPU1)
    machine.there["1"] = (90_000.0, (mine, stranger))
    assert machine.look((GPU1, os.getpgrp())) == (GPU0,)
    assert stranger in machine.told[0]
    assert mine not in machine.told[0]


def test_a_run_on_two_gpus_needs_both(machine):
    pairs = (Slot("0,1", "H200", 8), Slot("2,3", "H200", 8))
    machine.there["1"] = (30_000.0, ())
    assert machine.look(slots=pairs) == pairs[1:]


def test_where_all_are_used_one_is_taken_all_the_same(machine):
    machine.there = {"0": (30_000.0, ()), "1": (30_000.0, ())}
    assert machine.look(slots=(GPU0, GPU1) * 2) == (GPU0, GPU0)


def test_a_launcher_refills_only_what_is_free(machine, tmp_path, toy_order):
    """Its runs fail at once."""
    launcher = LocalLauncher((GPU0, GPU1), other_users=machine.other_users)
    for seed in range(2):
        order = toy_order(seed=seed, train={"batch_size": 5000})
        RunFolder(tmp_path / order.key).write_order(order)
        launcher.submit(Job("train", tmp_path / order.key))
    machine.there["1"], machine.now = (30_000.0, ()), 100.0
    assert launcher.capacity == 2
    ended = []
    while len(ended) < 2:
        ended += launcher.wait(10.0)
        machine.now += 10.0
    assert launcher.capacity == 1
    launcher._running = {None: Running(None, GPU1, None, None)}
    assert launcher.capacity == 2, "what runs there goes on, and takes no place from others"
    launcher._running = {}
    machine.there["1"] = NOBODY["1"]
    launcher.wait(0.0)
    assert launcher.capacity == 2, "it looks again while something is not ours"
    launcher.stop()
