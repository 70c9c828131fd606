"""The watchdog with clocks of the test's own, and a run that really hangs."""

from __future__ import annotations

import multiprocessing
import multiprocessing.process
import os
import random
import signal
import time
from pathlib import Path

import pytest

from sklab.launch import watchdog
from sklab.launch.base import Job
from sklab.launch.local import launcher as local
from sklab.launch.local.launcher import LocalLauncher
from sklab.launch.slots import Slot
from sklab.launch.watchdog import Watchdog
from sklab.store.records import RunRecord
from sklab.store.run_folder import RunFolder
from sklab.system import processes
from sklab.training.callbacks.pulse import Heartbeat

MINUTE = 60.0
PID = 7


class Scene:
    """One run, a monotonic clock, and looks at it."""

    def __init__(self, folder: Path, stale_after: float = 30 * MINUTE) -> None:
        self.run, self.moment, self.blocked, self.beats = RunFolder(folder), 1000.0, "", 0
        self.watchdog = Watchdog(stale_after, lambda: self.moment, lambda _: self.blocked)
        self.look()

    def look(self) -> bool:
        return self.watchdog.hung([(self.run.path, PID)]) == [self.run.path]

    def beat(self, mtime: float | None = None) -> None:
        self.beats += 1
        self.run.heartbeat_file.touch()
        stamp = self.beats if mtime is None else mtime
        os.utime(self.run.heartbeat_file, (stamp, stamp))

    def passes(self, seconds: float, step: float = 5.0) -> bool:
        """Whether the run is found hanging while so much time passes, with a look every `step` seconds."""
        found = False
        for _ in range(round(seconds / step)):
            self.moment += step
            found = self.look() or found
        return found


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    scene.beat()
    scene.look()
    return scene


def test_no_step_for_half_an_hour_is_a_run_that_hangs(scene):
    assert not scene.passes(30 * MINUTE)
    assert scene.passes(MINUTE)


def test_steps_keep_a_run_alive(scene):
    for _ in range(10):
        assert not scene.passes(29 * MINUTE)
        scene.beat()


def test_a_run_with_slow_steps_gets_twenty_of_them(scene):
    scene.passes(20 * MINUTE)
    scene.beat()
    assert not scene.passes(399 * MINUTE)
    assert scene.passes(3 * MINUTE)


def test_before_the_first_step_data_may_take_long(tmp_path):
    scene = Scene(tmp_path)
    assert not scene.passes(239 * MINUTE)
    assert scene.passes(2 * MINUTE)


def test_a_run_with_its_record_may_be_evaluated_for_long(scene):
    scene.run.record_file.touch()
    assert not scene.passes(200 * MINUTE)


def test_the_sign_of_life_goes_when_the_record_comes_and_nobody_takes_that_for_a_hang(scene, toy_order):
    scene.passes(29 * MINUTE)
    scene.run.write_record(RunRecord.of(toy_order(), status="complete"))
    assert not scene.run.heartbeat_file.exists()
    assert not scene.passes(239 * MINUTE)
    assert scene.passes(2 * MINUTE)


def test_a_suspended_machine_kills_nobody(scene):
    scene.moment += 72 * 60 * MINUTE
    assert not scene.look()
    assert not scene.passes(29 * MINUTE)


def test_time_in_which_it_was_stopped_by_somebody_does_not_count(scene):
    scene.blocked = "stopped"
    assert not scene.passes(600 * MINUTE)
    scene.blocked = ""
    assert not scene.passes(29 * MINUTE)
    assert scene.passes(2 * MINUTE)


def test_a_run_may_wait_for_disks_four_times_as_long_beside_its_own_time(scene):
    scene.blocked = "disk"
    assert not scene.passes(119 * MINUTE)
    scene.blocked = ""
    assert not scene.passes(MINUTE)
    scene.beat()
    scene.blocked = "disk"
    assert not scene.passes(119 * MINUTE)
    assert scene.passes(2 * MINUTE), "a driver that never answers looks like a disk"


def test_before_the_first_step_it_may_wait_for_disks_for_long_but_not_for_ever(tmp_path):
    scene = Scene(tmp_path)
    scene.blocked = "disk"
    assert not scene.passes(8 * 119 * MINUTE)
    assert scene.passes(8 * 2 * MINUTE)


def test_clocks_that_jump_change_nothing(scene):
    chance = random.Random(3)
    for _ in range(50):
        scene.beat(mtime=chance.uniform(0, 4e9))
        assert not scene.passes(29 * MINUTE)


def test_another_attempt_in_the_same_folder_starts_at_nothing(scene):
    scene.passes(29 * MINUTE)
    assert scene.watchdog.hung([(scene.run.path, PID + 1)]) == []
    scene.moment += 5 * MINUTE
    assert scene.watchdog.hung([(scene.run.path, PID + 1)]) == []


def test_heartbeats_come_at_most_once_a_second_and_fail_silently(tmp_path):
    moment = 0.0
    file = tmp_path / "heartbeat"
    heart = Heartbeat(file, lambda: moment)
    heart.on_train_batch_end()
    assert file.exists()
    file.unlink()
    heart.on_train_batch_end()
    assert not file.exists()
    moment = 1.0
    heart.on_validation_batch_end()
    assert file.exists()
    Heartbeat(tmp_path / "gone" / "heartbeat", lambda: 0.0).on_train_batch_end()


def test_a_hung_run_is_ended_with_its_whole_group(tmp_path, toy_order):
    order = toy_order(train={"epochs": 100_000})
    run = RunFolder(tmp_path / order.key)
    run.write_order(order)
    launcher = LocalLauncher((Slot(None, "cpu", 1),))
    launcher.submit(Job("train", run.path))
    [pid] = [process.pid for process in launcher.processes]
    deadline = time.monotonic() + 600
    while not run.heartbeat_file.exists():
        assert time.monotonic() < deadline
        assert launcher.wait(0.01) == [], "it makes steps"
    # The second between two heartbeats is too long for it.
    launcher._watchdog = Watchdog(1e-9, what_blocks=lambda _: "")
    ended = []
    while not ended:
        assert time.monotonic() < deadline
        ended = launcher.wait(0.01)
    launcher.stop()
    assert [(each.job.folder, each.hung, each.exitcode) for each in ended] == [(run.path, True, -9)]
    with pytest.raises(ProcessLookupError):
        os.killpg(pid, 0)


@pytest.mark.parametrize(("stale_after", "hangs"), [(1e-9, True), (0.0, False)])
def test_a_run_on_a_node_is_waited_for_unless_it_hangs(tmp_path, monkeypatch, stale_after, hangs):
    monkeypatch.setattr(watchdog, "_LOOK_EVERY", 0.01)
    monkeypatch.setattr(watchdog, "Watchdog", lambda limit: Watchdog(limit, what_blocks=lambda _: ""))
    process = multiprocessing.get_context("fork").Process(target=signal.pause if hangs else int)
    process.start()
    assert watchdog.wait_for(process, tmp_path, stale_after) is hangs
    watchdog.end_group(process)
    assert process.exitcode == (-signal.SIGKILL if hangs else 0)


def test_a_number_that_went_to_another_process_is_left_alone(monkeypatch):
    class Ended:
        pid = 4242

        def kill(self) -> None:
            pass

    killed = []
    monkeypatch.setattr(local.os, "killpg", lambda *given: killed.append(given))
    monkeypatch.setattr(local, "start_time", lambda _: 200)
    local._end_group(Ended(), 100)
    assert killed == []
    monkeypatch.setattr(local, "start_time", lambda _: 100)
    local._end_group(Ended(), 100)
    monkeypatch.setattr(local, "start_time", lambda _: None)
    local._end_group(Ended(), 100)
    assert len(killed) == 2, "the process itself, and a group whose first process has gone"


def _with_a_child_that_sleeps() -> None:
    os.setpgid(0, 0)
    if child := os.fork():
        os.waitpid(child, 0)
    signal.pause()


@pytest.fixture
def parent():
    """A process that sleeps, as does the one that it started."""
    process = multiprocessing.get_context("fork").Process(target=_with_a_child_that_sleeps)
    process.start()
    yield process.pid
    os.killpg(process.pid, signal.SIGKILL)
    process.join()


def test_a_run_waits_when_it_or_what_it_started_does(parent):
    """It may be a loader's process, or that of one of several devices."""
    deadline = time.monotonic() + 600

    def eventually(state: str) -> bool:
        while processes.what_blocks(parent) != state and time.monotonic() < deadline:
            pass
        return processes.what_blocks(parent) == state

    while not (child := Path(f"/proc/{parent}/task/{parent}/children").read_text()):
        assert time.monotonic() < deadline
    assert processes.what_blocks(parent) == ""
    os.kill(int(child), signal.SIGSTOP)
    assert eventually("stopped")
    os.kill(int(child), signal.SIGKILL)
    assert eventually("")
    os.kill(parent, signal.SIGSTOP)
    assert eventually("stopped")


def test_a_thread_or_child_in_state_d_waits_for_a_disk_unless_one_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_PROC", tmp_path)

    def thread(pid: int, tid: int, state: str, children: str = "") -> None:
        task = tmp_path / str(pid) / "task" / str(tid)
        task.mkdir(parents=True, exist_ok=True)
        (task / "stat").write_text(f"{tid} (a (name) S) {state} 1 1")
        (task / "children").write_text(children)

    thread(1, 1, "S", children="2")
    thread(1, 11, "R")
    thread(2, 2, "S")
    assert processes.what_blocks(1) == ""
    thread(2, 22, "D")
    assert processes.what_blocks(1) == "disk"
    thread(1, 11, "T")
    assert processes.what_blocks(1) == "stopped"


def test_processes_are_told_by_their_start(tmp_path):
    assert processes.start_time(os.getpid()) == processes.start_time(os.getpid()) is not None
    assert (processes.start_time(2**30), processes.what_blocks(2**30)) == (None, "")


def test_kills_for_memory_are_counted_in_the_control_group_or_else_on_the_machine(tmp_path, monkeypatch):
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (groups / "mine").mkdir(parents=True)
    monkeypatch.setattr(processes, "_PROC", proc)
    monkeypatch.setattr(processes, "_CGROUPS", groups)
    assert processes.oom_kills() == 0
    (proc / "vmstat").write_text("nr_free_pages 5\noom_kill 3\n")
    (proc / "self/cgroup").write_text("0::/mine\n")
    assert processes.oom_kills() == 3
    (groups / "mine/memory.events").write_text("low 0\noom 9\noom_kill 2\noom_group_kill 0\n")
    assert processes.oom_kills() == 2
