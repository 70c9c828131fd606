"""One process that trains several runs in turn: each has its own record, log, checkpoint and end."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest
from launched import CPU, LONG, Made
from slurm_commands import until

from sklab.launch import worker
from sklab.launch.abreast import work_abreast
from sklab.launch.base import DEVICE_BROKEN, FOLDER_HELD, Job
from sklab.store.records import RunRecord
from sklab.store.run_folder import RunFolder
from sklab.training import fit
from sklab.training.replay import steps


def replaying(pipe: Connection, broken: Path) -> None:
    """The process, as on a GPU; its CUDA breaks once the file `broken` is there."""
    steps.REPLAYED = {"cpu"}
    fit._why_broken = lambda _: "CUDA error: device-side assert triggered" if broken.exists() else ""
    worker.PATIENCE["train"] = 1
    work_abreast(pipe)


class Crew:
    """The process, and what it tells."""

    def __init__(self, broken: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=replaying, args=(theirs, broken))
        self.process.start()
        theirs.close()
        self.pipe.send(CPU)

    def train(self, *runs: RunFolder) -> None:
        for run in runs:
            self.pipe.send(Job("train", run.path))

    def told(self, count: int) -> dict[Path, int]:
        """The next ends of runs."""
        ends = {}
        for _ in range(count):
            assert self.pipe.poll(120), f"no more than {ends} were told"
            folder, exitcode = self.pipe.recv()
            ends[folder] = exitcode
        return ends


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    return tmp_path / "broken"


@pytest.fixture
def crew(broken: Path) -> Iterator[Crew]:
    crew = Crew(broken)
    yield crew
    crew.process.kill()
    crew.process.join()


def record_of(run: RunFolder) -> RunRecord:
    record = run.read_record()
    assert record is not None
    return record


def trained(*runs: RunFolder) -> None:
    """Wait until each has finished an epoch."""
    for run in runs:
        until(lambda run=run: run.metrics_file.exists() and len(run.metrics_file.read_text().splitlines()) > 1)


def test_runs_are_trained_in_turn_and_others_join_them(crew: Crew, made: Made) -> None:
    long, other, short = made(train=LONG), made(seed=1, train=LONG), made(seed=2)
    crew.train(long, other)
    trained(long, other)
    crew.train(short)
    assert crew.told(1) == {short.path: 0}
    record = record_of(short)
    assert (record.status, record.hardware.abreast) == ("complete", 3)
    assert "cell, seed 2: attempt 1 at run" in short.log_file.read_text()
    assert "seed 1" not in short.log_file.read_text()
    assert long.read_record() is other.read_record() is None


def test_what_one_run_raises_is_its_own_end(crew: Crew, made: Made) -> None:
    good, bad, unreadable = made(), made(seed=1, train={"batch_size": 5000}), made(seed=2)
    unreadable.order_file.write_text("{")
    crew.train(good, bad, unreadable)
    assert crew.told(3) == {good.path: 0, bad.path: 0, unreadable.path: 1}
    assert (record_of(good).status, record_of(bad).failure) == ("complete", "data")
    assert unreadable.read_record() is None
    assert "Traceback" in unreadable.log_file.read_text()


def test_a_signal_ends_all_runs_with_a_checkpoint_each_and_then_the_process(crew: Crew, made: Made) -> None:
    runs = [made(seed=seed, train=LONG) for seed in range(2)]
    crew.train(*runs)
    trained(*runs)
    os.kill(crew.process.pid, signal.SIGTERM)
    assert crew.told(2) == {run.path: 0 for run in runs}
    for run in runs:
        assert (record_of(run).failure, run.checkpoint_step > 0) == ("preempted", True)
    crew.process.join(60)
    assert crew.process.exitcode == -signal.SIGTERM


def test_broken_cuda_ends_the_process_and_blames_no_run(crew: Crew, made: Made, broken: Path) -> None:
    innocent, culprit = made(train=LONG), made(seed=1, train={"lr": 1e30, "epochs": 50})
    crew.train(innocent)
    trained(innocent)
    broken.touch()
    crew.train(culprit)
    crew.process.join(120)
    assert crew.process.exitcode == DEVICE_BROKEN
    for run in (innocent, culprit):
        assert run.read_record() is None
        assert "2 runs were trained here, and each is tried again alone" in run.log_file.read_text()


def test_a_run_alone_is_blamed_for_broken_cuda_and_no_other_gets_its_process(
    crew: Crew, made: Made, broken: Path
) -> None:
    broken.touch()
    culprit = made(train={"lr": 1e30})
    crew.train(culprit)
    assert crew.told(1) == {culprit.path: 0}
    assert record_of(culprit).status == "diverged"
    crew.process.join(120)
    assert crew.process.exitcode == DEVICE_BROKEN


def test_a_folder_that_is_held_ends_its_job_and_no_other(crew: Crew, made: Made) -> None:
    held, good = made(), made(seed=1, train={"epochs": 40})
    with held.lock_file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        crew.train(held, good)
        assert crew.told(2) == {held.path: FOLDER_HELD, good.path: 0}
    assert record_of(good).status == "complete"
    assert held.read_record() is None
