"""When the Slurm launcher takes a job for gone, and what it refuses, without a Slurm."""

from __future__ import annotations

import fcntl
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklab.errors import SklabError
from sklab.launch import slurm, slurm_task
from sklab.launch.base import Ended, Job
from sklab.launch.slurm import SlurmLauncher
from sklab.launch.slurm_task import own_slot, read_job, write_job
from sklab.spec.slurm import SlurmSpec

SPEC = SlurmSpec(launcher="slurm", time=60, parallel=4)
ANSWERS = {"known": {"7"}, "unknown": set(), "no answer": None}


def load(file: Path) -> Any:
    return pickle.loads(file.read_bytes())


class FakePaths:
    def __init__(self, folder: Path, job_id: str) -> None:
        self.result_pickle = folder / f"{job_id}_0_result.pkl"


Make = Callable[[], SlurmLauncher]


def without_cluster(folder: Path, patch: pytest.MonkeyPatch) -> Make:
    """Makes launchers that have no cluster to talk to."""
    fake = SimpleNamespace(core=SimpleNamespace(utils=SimpleNamespace(JobPaths=FakePaths, pickle_load=load)))
    patch.setattr(slurm, "_submitit", lambda: fake)
    patch.setattr(slurm, "_executor", lambda *_: None)
    patch.setattr(slurm, "_ASK_EVERY", 0.0)
    patch.setattr(slurm, "_LOOK_EVERY", 0.0)
    return lambda: SlurmLauncher(SPEC, folder, "toy")


def left_job(folder: Path) -> Job:
    (folder / "run").mkdir()
    write_job(folder / "run", "7")
    return Job("train", folder / "run")


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    return without_cluster(tmp_path, monkeypatch)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return left_job(tmp_path)


def asked(launcher: SlurmLauncher, answers: list[str], patch: pytest.MonkeyPatch) -> list[Ended]:
    """What the launcher tells while Slurm answers so, one answer after the other."""
    given: Iterator[Any] = (ANSWERS[answer] for answer in answers)
    patch.setattr(slurm, "_queue", lambda _: next(given))
    return [ended for _ in answers for ended in launcher.wait(0.0)]


def adopting(launcher: SlurmLauncher, job: Job, patch: pytest.MonkeyPatch) -> SlurmLauncher:
    patch.setattr(slurm, "_queue", lambda _: {"7"})
    assert launcher.adopt([job]) == [job]
    return launcher


@given(answers=st.lists(st.sampled_from(sorted(ANSWERS)), max_size=12))
def test_a_job_is_gone_once_three_answers_in_a_row_do_not_know_it(answers, tmp_path_factory):
    heard = [answer for answer in answers if answer != "no answer"]
    is_gone = any(heard[at : at + 3] == ["unknown"] * 3 for at in range(len(heard)))
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        waiting = left_job(folder)
        told = asked(adopting(without_cluster(folder, patch)(), waiting, patch), answers, patch)
    assert told == ([Ended(waiting, -signal.SIGKILL)] if is_gone else [])


def test_a_job_that_slurm_lost_is_alive_while_its_folder_is_locked(launcher, job, monkeypatch):
    watching = adopting(launcher(), job, monkeypatch)
    with (job.folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert asked(watching, ["unknown"] * 9, monkeypatch) == []
    assert asked(watching, ["unknown"], monkeypatch) == [Ended(job, -signal.SIGKILL)]


class AwayError(Exception):
    """What submitit says when sbatch fails."""


class Executor:
    """Submits while `answers`."""

    def __init__(self) -> None:
        self.answers, self.sent = True, 0

    def map_array(self, _task: object, jobs: list[Job]) -> list[Any]:
        if not self.answers:
            raise AwayError("sbatch: error: Unable to contact slurm controller")
        self.sent += len(jobs)
        return [SimpleNamespace(job_id=f"{self.sent}_{at}") for at, _ in enumerate(jobs)]


@pytest.fixture
def executor(launcher: Make, monkeypatch: pytest.MonkeyPatch) -> Executor:
    made = Executor()
    fake = slurm._submitit()
    fake.core.utils.FailedJobError = fake.core.utils.FailedSubmissionError = AwayError
    monkeypatch.setattr(slurm, "_executor", lambda *_: made)
    monkeypatch.setattr(slurm, "_SEND_AGAIN", 0.0)
    monkeypatch.setattr(slurm, "_queue", lambda _: set())
    return made


@pytest.fixture
def begun(launcher: Make, executor: Executor, job: Job) -> SlurmLauncher:
    """A launcher that Slurm has answered, with a job to hand over."""
    made = launcher()
    made.adopt([job])
    made.submit(Job("train", job.folder))
    executor.answers = False
    return made


LATER = r"they are handed over later \(sbatch: error: Unable to contact"
REFUSED = "Slurm does not take the jobs: sbatch: error: Unable"


def test_jobs_wait_for_a_slurm_that_answered_before_and_are_handed_over_once(begun, executor, job, monkeypatch):
    monkeypatch.setattr(slurm, "_queue", lambda _: None)
    for _ in range(3):
        with pytest.warns(UserWarning, match=LATER):
            assert begun.wait(0.0) == []
    executor.answers = True
    assert begun.wait(0.0) == begun.wait(0.0) == []
    assert (executor.sent, read_job(job.folder)) == (1, "1_0")


def test_a_slurm_that_refuses_twice_though_it_answers_ends_the_study(begun):
    with pytest.warns(UserWarning, match=LATER):
        assert begun.wait(0.0) == []
    with pytest.raises(SklabError, match=REFUSED):
        begun.wait(0.0)


@pytest.mark.parametrize("answer", [set(), None])
def test_a_slurm_that_never_took_a_job_ends_the_study_at_once(launcher, executor, job, monkeypatch, answer):
    started = launcher()
    started.submit(job)
    executor.answers = False
    monkeypatch.setattr(slurm, "_queue", lambda _: answer)
    with pytest.raises(SklabError, match=REFUSED):
        started.wait(0.0)


def test_files_that_a_network_disk_shows_late_are_there_in_time(launcher, job, monkeypatch):
    """On NFS a name that was looked for in vain is not there for up to a minute, unless its folder is opened."""
    real_exists, real_open, hidden = Path.exists, os.open, {job.folder, job.folder.parent / ".slurm"}
    monkeypatch.setattr(Path, "exists", lambda self: self.parent not in hidden and real_exists(self))
    monkeypatch.setattr(os, "open", lambda path, *how: hidden.discard(path) or real_open(path, *how))
    watching = adopting(launcher(), job, monkeypatch)
    (job.folder.parent / ".slurm").mkdir()
    (job.folder.parent / ".slurm" / "7_0_result.pkl").write_bytes(pickle.dumps(("success", (0, False))))
    (job.folder / "record.json").touch()
    assert watching.wait(0.0) == [Ended(job, 0)]
    assert (job.folder / "record.json").exists()


def test_a_job_that_was_killed_without_a_runner_is_not_adopted(launcher, job, monkeypatch):
    monkeypatch.setattr(slurm, "_queue", lambda _: set())
    assert launcher().adopt([job, Job("train", job.folder.parent)]) == []
    assert read_job(job.folder) is None


def test_jobs_are_adopted_by_a_new_answer_and_not_for_want_of_one(launcher, job, monkeypatch):
    monkeypatch.setattr(slurm, "_ASK_EVERY", 0.05)
    watching = adopting(launcher(), job, monkeypatch)
    monkeypatch.setattr(slurm, "_queue", lambda _: set())
    assert watching.adopt([job]) == []


@pytest.mark.parametrize("hung", [False, True])
def test_a_job_that_ended_without_a_runner_is_told_to_the_next_one_and_only_to_that(launcher, job, monkeypatch, hung):
    monkeypatch.setattr(slurm, "_queue", lambda _: set())
    (job.folder.parent / ".slurm").mkdir()
    (job.folder.parent / ".slurm" / "7_0_result.pkl").write_bytes(pickle.dumps(("success", (3, hung))))
    watching = launcher()
    assert watching.adopt([job]) == [job]
    assert watching.wait(0.0) == [Ended(job, 3, hung)]
    assert launcher().adopt([job]) == []


def test_a_job_that_its_run_does_not_know_gives_way(job, monkeypatch):
    environment = SimpleNamespace(JobEnvironment=lambda: SimpleNamespace(job_id="8"))
    monkeypatch.setitem(sys.modules, "submitit", environment)
    assert not slurm_task._is_for_us(job.folder)
    (job.folder / "job.json").write_text("{")
    assert slurm_task._is_for_us(job.folder)
    assert read_job(job.folder) == "8"


def test_a_missing_submitit_is_told_with_the_line_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(SklabError, match=r"pip install 'sklab\[slurm\]'"):
        SlurmLauncher(SPEC, tmp_path, "toy")


def test_a_run_on_more_devices_than_it_is_given_is_refused(launcher, tmp_path):
    with pytest.raises(SklabError, match=r"cpus: found 1; a run of this study trains on 2 devices"):
        SlurmLauncher(SPEC, tmp_path, "toy", devices=2)


def test_threads_and_gpus_are_what_slurm_gave(monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    monkeypatch.setattr(slurm_task, "find_gpus", lambda: [("4", "H200"), ("6", "H200")])
    assert (own_slot(2).gpu, own_slot(2).name, own_slot(2).threads) == ("4,6", "H200", 3)
    assert own_slot(0).gpu is None
    monkeypatch.setattr(slurm_task, "find_gpus", list)
    with pytest.raises(SklabError, match="nvidia-smi shows none"):
        own_slot(1)
