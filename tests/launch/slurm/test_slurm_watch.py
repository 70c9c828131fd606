"""When the Slurm launcher takes a job for gone, and what it refuses, without a Slurm."""

from __future__ import annotations

import fcntl
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from left import left_job, number_in

from sklab.errors import SklabError
from sklab.launch.base import Ended, Job
from sklab.launch.slurm import job as slurm_job
from sklab.launch.slurm import launcher as slurm
from sklab.launch.slurm.job import End, read_end, read_note
from sklab.launch.slurm.launcher import SlurmLauncher
from sklab.launch.slurm.sbatch import RefusedError
from sklab.spec.study.launchers import SlurmSpec

SPEC = SlurmSpec(launcher="slurm", time=60, parallel=4)
ANSWERS = {"known": {"7"}, "unknown": set(), "no answer": None}


Make = Callable[[], SlurmLauncher]


def without_cluster(folder: Path, patch: pytest.MonkeyPatch) -> Make:
    """Makes launchers that have no cluster to talk to."""
    patch.setattr(slurm, "ensure_there", lambda: None)
    patch.setattr(slurm, "_ASK_EVERY", 0.0)
    patch.setattr(slurm, "_LOOK_EVERY", 0.0)
    return lambda: SlurmLauncher(SPEC, folder, "toy")


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    return without_cluster(tmp_path, monkeypatch)


def asked(launcher: SlurmLauncher, answers: list[str], patch: pytest.MonkeyPatch) -> list[Ended]:
    """What the launcher tells while Slurm answers so, one answer after the other."""
    given: Iterator[Any] = (ANSWERS[answer] for answer in answers)
    patch.setattr(slurm, "queue", lambda _: next(given))
    return [ended for _ in answers for ended in launcher.wait(0.0)]


def adopting(launcher: SlurmLauncher, job: Job, patch: pytest.MonkeyPatch) -> SlurmLauncher:
    patch.setattr(slurm, "queue", lambda _: {"7"})
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


class Slurm:
    """Submits while `answers`."""

    def __init__(self) -> None:
        self.answers, self.sent = True, 0

    def hand_over(self, *given: Any) -> str:
        if not self.answers:
            raise RefusedError("sbatch: error: Unable to contact slurm controller")
        self.sent += len(given[4])
        return str(self.sent)


@pytest.fixture
def executor(launcher: Make, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    made = Slurm()
    monkeypatch.setattr(slurm, "hand_over", made.hand_over)
    monkeypatch.setattr(slurm, "_SEND_AGAIN", 0.0)
    monkeypatch.setattr(slurm, "queue", lambda _: set())
    return made


@pytest.fixture
def begun(launcher: Make, executor: Slurm, job: Job) -> SlurmLauncher:
    """A launcher that Slurm has answered, with a job to hand over."""
    made = launcher()
    made.adopt([job])
    made.submit(Job("train", job.folder))
    executor.answers = False
    return made


LATER = r"they are handed over later \(sbatch: error: Unable to contact"
REFUSED = "Slurm does not take the jobs: sbatch: error: Unable"


def test_jobs_wait_for_a_slurm_that_answered_before_and_are_handed_over_once(begun, executor, job, monkeypatch):
    monkeypatch.setattr(slurm, "queue", lambda _: None)
    for _ in range(3):
        with pytest.warns(UserWarning, match=LATER):
            assert begun.wait(0.0) == []
    executor.answers = True
    assert begun.wait(0.0) == begun.wait(0.0) == []
    assert (executor.sent, number_in(job.folder)) == (1, "1_0")


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
    monkeypatch.setattr(slurm, "queue", lambda _: answer)
    with pytest.raises(SklabError, match=REFUSED):
        started.wait(0.0)


@pytest.mark.parametrize(("asked", "excluded"), [({}, "n1"), ({"exclude": "old[1-3]"}, "old[1-3],n1")])
def test_a_node_where_run_after_run_fails_because_of_its_gpus_gets_no_more(tmp_path, monkeypatch, asked, excluded):
    sent: list[dict[str, Any]] = []

    def hand_over(spec: SlurmSpec, *_: Any) -> str:
        sent.append(spec.sbatch)
        return str(len(sent))

    without_cluster(tmp_path, monkeypatch)
    monkeypatch.setattr(slurm, "hand_over", hand_over)
    monkeypatch.setattr(slurm, "queue", lambda _: {f"{number}_0" for number in range(1, 9)})
    monkeypatch.setenv("SLURMD_NODENAME", "n1")
    launcher = SlurmLauncher(SPEC.model_copy(update={"sbatch": asked}), tmp_path, "toy")
    told = []
    for number, name in enumerate(("a", "a", "b", "c"), 1):
        (tmp_path / name).mkdir(exist_ok=True)
        launcher.submit(Job("train", tmp_path / name))
        assert launcher.wait(0.0) == []
        (tmp_path / ".slurm").mkdir(exist_ok=True)
        slurm_job._tell(tmp_path / ".slurm", f"{number}_0", End(exitcode=0))
        [ended] = launcher.wait(0.0)
        told.append(launcher.judge(ended.job, sick=True))
    assert sent == [asked, asked, asked, {**asked, "exclude": excluded}]
    line = "node n1 is given up: 2 runs in a row have failed on it because of it; no more runs go there"
    assert told == ["", "", line, ""]


def test_files_that_a_network_disk_shows_late_are_there_in_time(launcher, job, monkeypatch):
    """On NFS a name that was looked for in vain is not there for up to a minute, unless its folder is opened."""
    real_exists, real_open, hidden = Path.exists, os.open, {job.folder, job.folder.parent / ".slurm"}
    monkeypatch.setattr(Path, "exists", lambda self: self.parent not in hidden and real_exists(self))
    monkeypatch.setattr(os, "open", lambda path, *how: hidden.discard(path) or real_open(path, *how))
    watching = adopting(launcher(), job, monkeypatch)
    (job.folder.parent / ".slurm").mkdir()
    (job.folder.parent / ".slurm" / "7.json").write_text('{"exitcode": 0}')
    (job.folder / "record.json").touch()
    assert watching.wait(0.0) == [Ended(job, 0)]
    assert (job.folder / "record.json").exists()


def test_a_job_that_was_killed_without_a_runner_is_not_adopted(launcher, job, monkeypatch):
    monkeypatch.setattr(slurm, "queue", lambda _: set())
    assert launcher().adopt([job, Job("train", job.folder.parent)]) == []
    assert read_note(job.folder) is None


def test_jobs_are_adopted_by_a_new_answer_and_not_for_want_of_one(launcher, job, monkeypatch):
    monkeypatch.setattr(slurm, "_ASK_EVERY", 0.05)
    watching = adopting(launcher(), job, monkeypatch)
    monkeypatch.setattr(slurm, "queue", lambda _: set())
    assert watching.adopt([job]) == []


@pytest.mark.parametrize("hung", [False, True])
def test_a_job_that_ended_without_a_runner_is_told_to_the_next_one_and_only_to_that(launcher, job, monkeypatch, hung):
    monkeypatch.setattr(slurm, "queue", lambda _: set())
    (job.folder.parent / ".slurm").mkdir()
    (job.folder.parent / ".slurm" / "7.json").write_text(f'{{"exitcode": 3, "hung": {str(hung).lower()}}}')
    watching = launcher()
    assert watching.adopt([job]) == [job]
    assert watching.wait(0.0) == [Ended(job, 3, hung)]
    assert launcher().adopt([job]) == []


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._file,)


def test_a_pickle_in_the_study_is_a_job_that_ended_and_is_never_read(launcher, job, monkeypatch):
    """It may be of a job that sklab 0.1.0 submitted, or of anybody who can write there."""
    monkeypatch.setattr(slurm, "queue", lambda _: set())
    files = job.folder.parent / ".slurm"
    files.mkdir()
    (files / "7_0_result.pkl").write_bytes(pickle.dumps(("success", Trap(files / "executed"))))
    watching = launcher()
    assert watching.adopt([job]) == [job]
    assert watching.wait(0.0) == [Ended(job, 1)]
    assert not (files / "executed").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"exitcode": "0; rm"}', '{"exitcode": 0, "hung": 7}'])
def test_an_end_that_is_none_counts_as_an_error(tmp_path, content):
    (tmp_path / "7.json").write_text(content)
    assert read_end(tmp_path, "7") == End(exitcode=1)


def test_where_there_is_no_slurm_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SklabError, match="there is no Slurm here"):
        SlurmLauncher(SPEC, tmp_path, "toy")


def test_a_run_on_more_devices_than_it_is_given_is_refused(launcher, tmp_path):
    with pytest.raises(SklabError, match=r"cpus: found 1; a run of this study trains on 2 devices"):
        SlurmLauncher(SPEC, tmp_path, "toy", devices=2)
