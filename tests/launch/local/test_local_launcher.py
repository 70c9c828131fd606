"""What the launcher of this machine promises beyond the contract: processes, groups, logs, several runs in one."""

from __future__ import annotations

import fcntl
import multiprocessing.forkserver
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from launched import CPU, LONG, Made, collect
from slurm_commands import until

from sklab.launch import worker
from sklab.launch.base import FOLDER_HELD, Ended, Job
from sklab.launch.local.launcher import LocalLauncher
from sklab.system.processes import start_time


@pytest.fixture
def local() -> Iterator[LocalLauncher]:
    launcher = LocalLauncher((CPU, CPU))
    yield launcher
    launcher.stop()


def test_both_slots_work_at_the_same_time(local: LocalLauncher, made: Made) -> None:
    for seed in range(2):
        local.submit(Job("train", made(seed=seed, train=LONG).path))
    assert len({process.pid for process in local.processes}) == 2
    assert local.wait(0.0) == []


def test_a_killed_run_is_told_with_its_signal_and_frees_its_slot(local: LocalLauncher, made: Made) -> None:
    run = made(train=LONG)
    local.submit(Job("train", run.path))
    [process] = local.processes
    until(run.metrics_file.exists)
    os.kill(process.pid, signal.SIGKILL)
    assert collect(local, 1) == [Ended(Job("train", run.path), -signal.SIGKILL)]
    assert run.read_record() is None
    local.submit(Job("train", made(seed=9).path))
    assert collect(local, 1)[0].exitcode == 0


@pytest.fixture
def abreast() -> Iterator[LocalLauncher]:
    launcher = LocalLauncher((CPU, CPU, CPU), abreast=True)
    yield launcher
    launcher.stop()


def test_abreast_all_runs_of_a_device_are_in_one_process_and_another_run_joins_them(
    abreast: LocalLauncher, made: Made
) -> None:
    """On the CPU a run is one long step: they are trained one after the other."""
    for seed in range(2):
        abreast.submit(Job("train", made(seed=seed).path))
    [process] = abreast.processes
    assert collect(abreast, 2) == [Ended(Job("train", made(seed=seed).path), 0) for seed in range(2)]
    abreast.submit(Job("train", made(seed=2).path))
    assert abreast.processes == [process]
    collect(abreast, 1)


def test_whoever_was_in_a_process_that_died_is_trained_alone(abreast: LocalLauncher, made: Made) -> None:
    runs = [made(seed=seed, train=LONG) for seed in range(2)]
    for run in runs:
        abreast.submit(Job("train", run.path))
    until(runs[0].metrics_file.exists)
    [process] = abreast.processes
    os.kill(process.pid, signal.SIGKILL)
    ended = collect(abreast, 2)
    assert ended == [Ended(Job("train", run.path), -signal.SIGKILL, beside=1) for run in runs]
    for run in (*runs, made(seed=2), made(seed=3)):
        if len(abreast.processes) < 3:
            abreast.submit(Job("train", run.path))
    assert len(abreast.processes) == 3
    assert process not in abreast.processes


def test_abreast_only_a_process_none_of_whose_runs_makes_a_step_hangs(abreast: LocalLauncher, made: Made) -> None:
    runs = [made(seed=seed, train=LONG) for seed in range(2)]
    for run in runs:
        abreast.submit(Job("train", run.path))
    hung: list[Path] = [runs[0].path]
    watchdog = abreast._watchdog
    assert watchdog is not None
    watchdog.hung = lambda _: hung  # type: ignore[method-assign]
    assert abreast.wait(0.0) == []
    hung.append(runs[1].path)
    assert [(each.hung, each.beside) for each in abreast.wait(0.0)] == [(True, 1)] * 2


@pytest.mark.parametrize("dies", ["the process", "its server"])
def test_a_spare_process_that_died_gets_no_run(local: LocalLauncher, made: Made, dies: str) -> None:
    local.submit(Job("train", made(seed=0).path))
    collect(local, 1)
    spare = local._spare
    assert spare is not None
    server = multiprocessing.forkserver._forkserver._forkserver_pid
    os.kill(server if dies == "its server" else spare._process.pid, signal.SIGKILL)
    until(lambda: not spare.is_alive)
    local.submit(Job("train", made(seed=1).path))
    assert collect(local, 1)[0].exitcode == 0


def test_a_run_whose_server_died_is_told_as_killed(local: LocalLauncher, made: Made) -> None:
    run = made(train=LONG)
    local.submit(Job("train", run.path))
    [process] = local.processes
    until(run.metrics_file.exists)
    os.kill(multiprocessing.forkserver._forkserver._forkserver_pid, signal.SIGKILL)
    assert collect(local, 1) == [Ended(Job("train", run.path), -signal.SIGKILL)]
    until(lambda: start_time(process.pid) is None)


def test_stop_ends_whole_process_groups(local: LocalLauncher, made: Made) -> None:
    run = made(train=LONG)
    local.submit(Job("train", run.path))
    [process] = local.processes
    until(run.metrics_file.exists)
    local.stop()
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_what_a_run_prints_stands_in_its_log(local: LocalLauncher, made: Made) -> None:
    run = made(train={"batch_size": 5000})
    local.submit(Job("train", run.path))
    collect(local, 1)
    assert "batch_size = 5000" in run.log_file.read_text()


def test_a_folder_where_somebody_else_works_is_told_in_one_line(
    made: Made, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(worker.PATIENCE, "train", 1)
    run = made()
    with (run.path / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = multiprocessing.get_context("fork").Process(target=worker.work, args=(Job("train", run.path), CPU))
        process.start()
        process.join()
    assert process.exitcode == FOLDER_HELD
    [said] = capfd.readouterr().err.splitlines()
    assert said == f"sklab: {run.path}: another process has been working there for 1 s; end it first"


def test_runs_die_with_their_runner(made: Made) -> None:
    run = made(train=LONG)
    runner = subprocess.Popen([sys.executable, "-c", _RUNNER, str(run.path)], stdout=subprocess.PIPE, text=True)
    assert runner.stdout is not None
    pid = int(runner.stdout.readline())
    until(run.metrics_file.exists)
    runner.kill()
    runner.wait()
    runner.stdout.close()
    until(lambda: not Path(f"/proc/{pid}").exists())
    assert run.read_record() is None


_RUNNER = """
import sys
from pathlib import Path
from sklab.launch.base import Job
from sklab.launch.local.launcher import LocalLauncher
from sklab.system.processes import start_time
from sklab.launch.slots import Slot
if __name__ == "__main__":
    launcher = LocalLauncher((Slot(None, "cpu", 1),))
    launcher.submit(Job("train", Path(sys.argv[1])))
    print(launcher.processes[0].pid, flush=True)
    launcher.wait(600)
"""
