"""One contract for every launcher, and what the local one promises beyond it."""

from __future__ import annotations

import fcntl
import multiprocessing.forkserver
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sklab.errors import SklabError
from sklab.launch import slots, worker
from sklab.launch.base import FOLDER_HELD, Ended, Job, Launcher
from sklab.launch.inline import InlineLauncher
from sklab.launch.local.launcher import LocalLauncher
from sklab.launch.slots import Slot, find_slots
from sklab.launch.slurm.launcher import SlurmLauncher
from sklab.spec.study.launchers import SlurmSpec
from sklab.store.records import RunOrder
from sklab.store.run_folder import RunFolder
from sklab.system.processes import start_time

CPU = Slot(None, "cpu", 1)
LONG = {"epochs": 100_000}
Made = Callable[..., RunFolder]


@pytest.fixture
def made(tmp_path: Path, toy_order: Callable[..., RunOrder]) -> Made:
    """Writes the order of a toy run into a folder of its own."""

    def make(**changes: object) -> RunFolder:
        order = toy_order(**changes)
        run = RunFolder(tmp_path / order.key)
        run.write_order(order)
        return run

    return make


def _inline(request: pytest.FixtureRequest) -> Launcher:
    return InlineLauncher(CPU)


def _local(request: pytest.FixtureRequest) -> Launcher:
    return LocalLauncher((CPU, CPU))


def _abreast(request: pytest.FixtureRequest) -> Launcher:
    return LocalLauncher((CPU, CPU), abreast=True)


def _slurm(request: pytest.FixtureRequest) -> Launcher:
    request.getfixturevalue("slurm")
    spec = SlurmSpec(launcher="slurm", time=5, parallel=2)
    return SlurmLauncher(spec, request.getfixturevalue("tmp_path"), "toy")


@pytest.fixture(
    params=[
        _inline,
        _local,
        _abreast,
        pytest.param(_slurm, marks=[pytest.mark.slow, pytest.mark.xdist_group("slurm")]),
    ],
    ids=["inline", "local", "abreast", "slurm"],
)
def launcher(request: pytest.FixtureRequest) -> Iterator[Launcher]:
    launcher = request.param(request)
    yield launcher
    launcher.stop()


@pytest.fixture
def local() -> Iterator[LocalLauncher]:
    launcher = LocalLauncher((CPU, CPU))
    yield launcher
    launcher.stop()


def collect(launcher: Launcher, count: int) -> list[Ended]:
    ended: list[Ended] = []
    deadline = time.monotonic() + 600
    while len(ended) < count:
        assert time.monotonic() < deadline, f"the launcher lost a job; it told of {ended}"
        ended += launcher.wait(5.0)
    return ended


class TestEveryLauncher:
    def test_runs_a_job_to_its_record(self, launcher: Launcher, made: Made) -> None:
        run = made()
        launcher.submit(Job("train", run.path))
        assert collect(launcher, 1) == [Ended(Job("train", run.path), 0)]
        record = run.read_record()
        assert record is not None
        assert (record.status, record.hardware.threads) == ("complete", 1)
        assert not run.heartbeat_file.exists()

    def test_tells_of_each_job_once(self, launcher: Launcher, made: Made) -> None:
        runs = [made(seed=seed) for seed in range(3)]
        ended = []
        for run in runs:
            launcher.submit(Job("train", run.path))
            ended += collect(launcher, 1)
        assert [each.job.folder for each in ended] == [run.path for run in runs]
        assert launcher.wait(0.0) == []

    def test_a_run_that_fails_is_a_job_that_ended(self, launcher: Launcher, made: Made) -> None:
        run = made(train={"batch_size": 5000})
        launcher.submit(Job("train", run.path))
        assert collect(launcher, 1)[0].exitcode == 0
        record = run.read_record()
        assert record is not None
        assert (record.status, record.failure) == ("failed", "data")

    def test_never_repeats_a_finished_run(self, launcher: Launcher, made: Made) -> None:
        run = made()
        for _ in range(2):
            launcher.submit(Job("train", run.path))
            collect(launcher, 1)
        assert run.attempt == 1

    def test_evaluates_a_run_at_the_sizes_of_its_order_once_it_is_trained(self, launcher: Launcher, made: Made) -> None:
        run = made()
        run.write_order(run.read_order().model_copy(update={"sizes": (32,)}))
        launcher.submit(Job("train", run.path))
        collect(launcher, 1)
        record, evaluation = run.read_record(), run.read_evaluation(32)
        assert record is not None
        assert evaluation is not None
        assert (evaluation.val_error, evaluation.val_loss) == (record.last["val_error"], record.last["val_loss"])

    def test_evaluates_a_finished_run_without_training_it_again(self, launcher: Launcher, made: Made) -> None:
        run = made()
        launcher.submit(Job("train", run.path))
        collect(launcher, 1)
        kept = {file: file.read_bytes() for file in (run.record_file, run.weights_file, run.metrics_file)}
        run.write_order(run.read_order().model_copy(update={"sizes": (32,)}))
        launcher.submit(Job("train", run.path))
        collect(launcher, 1)
        assert run.read_evaluation(32) is not None
        assert {file: file.read_bytes() for file in kept} == kept
        assert run.attempt == 1

    def test_a_failing_evaluation_leaves_the_run_complete(self, launcher: Launcher, made: Made, capfd) -> None:
        run = made()
        run.write_order(run.read_order().model_copy(update={"sizes": (48, 32)}))
        launcher.submit(Job("train", run.path))
        assert collect(launcher, 1)[0].exitcode == 0
        record = run.read_record()
        assert record is not None
        assert record.status == "complete"
        assert run.missing_sizes(record, (48, 32)) == (48,), "the other size is evaluated all the same"
        log = run.log_file.read_text() if run.log_file.exists() else capfd.readouterr().err
        assert "image size 48 is not possible; allowed: 32" in log

    def test_a_new_attempt_keeps_what_the_failed_one_left(self, launcher: Launcher, made: Made) -> None:
        run = made(train={"batch_size": 5000})
        for _ in range(2):
            launcher.submit(Job("train", run.path))
            collect(launcher, 1)
        assert (run.attempts / "001/record.json").exists()
        record = run.read_record()
        assert record is not None
        assert record.attempt == 2


def test_both_slots_work_at_the_same_time(local: LocalLauncher, made: Made) -> None:
    for seed in range(2):
        local.submit(Job("train", made(seed=seed, train=LONG).path))
    assert len({process.pid for process in local.processes}) == 2
    assert local.wait(0.0) == []


def test_a_killed_run_is_told_with_its_signal_and_frees_its_slot(local: LocalLauncher, made: Made) -> None:
    run = made(train=LONG)
    local.submit(Job("train", run.path))
    [process] = local.processes
    _until(run.metrics_file.exists)
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
    _until(runs[0].metrics_file.exists)
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
    _until(lambda: not spare.is_alive)
    local.submit(Job("train", made(seed=1).path))
    assert collect(local, 1)[0].exitcode == 0


def test_a_run_whose_server_died_is_told_as_killed(local: LocalLauncher, made: Made) -> None:
    run = made(train=LONG)
    local.submit(Job("train", run.path))
    [process] = local.processes
    _until(run.metrics_file.exists)
    os.kill(multiprocessing.forkserver._forkserver._forkserver_pid, signal.SIGKILL)
    assert collect(local, 1) == [Ended(Job("train", run.path), -signal.SIGKILL)]
    _until(lambda: start_time(process.pid) is None)


def test_stop_ends_whole_process_groups(local: LocalLauncher, made: Made) -> None:
    run = made(train=LONG)
    local.submit(Job("train", run.path))
    [process] = local.processes
    _until(run.metrics_file.exists)
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
    _until(run.metrics_file.exists)
    runner.kill()
    runner.wait()
    runner.stdout.close()
    _until(lambda: not Path(f"/proc/{pid}").exists())
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


def test_the_cpu_is_cut_in_even_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "find_gpus", list)
    monkeypatch.setattr(slots.os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert [slot.threads for slot in find_slots(4)] == [4, 4, 4, 4]
    assert [slot.threads for slot in find_slots()] == [2] * 8
    with pytest.raises(SklabError, match="allowed: 1 to 16"):
        find_slots(17)


def test_every_gpu_is_a_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "find_gpus", lambda: [("0", "H200"), ("3", "H200")])
    assert [slot.gpu for slot in find_slots()] == ["0", "3"]
    assert [slot.gpu for slot in find_slots(1)] == ["0"]
    with pytest.raises(SklabError, match="one per GPU"):
        find_slots(3)


def test_a_slot_holds_as_many_gpus_as_a_run_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "find_gpus", lambda: [(str(index), "H200") for index in range(5)])
    monkeypatch.setattr(slots.os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert [(slot.gpu, slot.threads) for slot in find_slots(devices=2)] == [("0,1", 8), ("2,3", 8)]
    assert [slot.gpu for slot in find_slots(1, devices=3)] == ["0,1,2"]
    with pytest.raises(SklabError, match=r"--slots: found 3; allowed: 1 to 2, one per 2 GPUs"):
        find_slots(3, devices=2)
    with pytest.raises(SklabError, match=r"train\.devices: found 6; allowed: 1 to 5, the GPUs.*--set train\.devices=5"):
        find_slots(devices=6)


def test_without_gpus_devices_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "find_gpus", list)
    monkeypatch.setattr(slots.os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert [slot.threads for slot in find_slots(devices=4)] == [4] * 4
    assert [slot.threads for slot in find_slots(devices=32)] == [16]
    with pytest.raises(SklabError, match=r"allowed: 1 to 4, one per 4 cores"):
        find_slots(5, devices=4)


def _until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)
