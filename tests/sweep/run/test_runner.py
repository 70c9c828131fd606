"""Which runs a study starts and in which order, and what it makes of their ends."""

from __future__ import annotations

import errno
import fcntl
import os
import signal

import pytest
from launchers import FakeLauncher, Seen, start

from sklab.errors import StudyLockedError
from sklab.launch.base import Ended, Job
from sklab.store.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("sound")

SEARCH = """\
experiment: toy.yaml
design: search
seeds: 1
baseline: {r: 4, L: 8}
search: {sampler: random, trials: 2}
factors:
  r: {path: model.reduction, levels: [2, 4, 8]}
  L: {path: model.min_dim, levels: [4, 8]}
"""


def test_all_runs_are_made_and_slots_are_filled(study):
    launcher, seen = FakeLauncher(), Seen()
    assert start(study, launcher, seen=seen)
    assert len(launcher.submitted) == 4
    assert launcher.most_at_once == 2
    assert seen.states[-1].counts["complete"] == 4
    assert all(state.total == 4 for state in seen.states)
    order = RunFolder(launcher.submitted[0].folder).read_order()
    assert (order.study, order.code.commit, order.key) == ("sweep", "abc", launcher.submitted[0].folder.name)
    assert order.spec.key == order.key


def test_the_same_again_starts_nothing(study):
    assert start(study, FakeLauncher())
    launcher = FakeLauncher()
    assert start(study, launcher)
    assert launcher.submitted == []


def test_a_killed_run_becomes_a_record_and_the_others_go_on(study):
    launcher, seen = FakeLauncher(lambda _, number: -9 if number == 1 else "complete"), Seen()
    assert not start(study, launcher, seen=seen)
    [failed] = [record for record in seen.records if record.status == "failed"]
    assert (failed.failure, failed.reason) == ("killed", "the process of the run was killed by SIGKILL")
    assert study.run(failed.key).read_record() == failed
    assert len(seen.records) == 4
    again = FakeLauncher()
    assert start(study, again)
    assert [job.folder.name for job in again.submitted] == [failed.key]


def test_a_process_that_leaves_without_a_record_is_a_failure(study):
    seen = Seen()
    start(study, FakeLauncher(lambda _, number: 3 if number == 0 else "complete"), seen=seen)
    assert seen.records[0].reason == "the process of the run ended with exit code 3"


def test_a_diverged_run_is_a_result_that_is_not_repeated(study):
    assert not start(study, FakeLauncher(lambda _, number: "diverged" if number == 0 else "complete"))
    again = FakeLauncher()
    assert not start(study, again)
    assert again.submitted == []


def test_a_second_runner_is_sent_away(study):
    study.path.mkdir(parents=True)
    with study.lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StudyLockedError, match="another runner"):
            start(study, FakeLauncher())
    assert not study.sweep_file.exists()
    assert start(study, FakeLauncher())


def test_runners_that_die_one_after_another_still_finish_the_study(study):
    class Dead(BaseException):
        pass

    def dies(_: Job, number: int) -> str:
        if number == 1:
            raise Dead
        return "complete"

    finished: list[str] = []
    for _ in range(3):
        launcher = FakeLauncher(dies, capacity=1)
        with pytest.raises(Dead):
            start(study, launcher)
        finished.append(launcher.submitted[0].folder.name)
    assert start(study, FakeLauncher())
    assert len(study.records()) == 4
    assert len(set(finished)) == 3, "no finished run was made again"


def test_more_seeds_run_only_what_is_missing(study):
    start(study, FakeLauncher())
    text = (study.path.parent.parent / "sweep.yaml").read_text().replace("seeds: 2", "seeds: 3")
    launcher = FakeLauncher()
    assert start(study, launcher, text)
    assert len(launcher.submitted) == 2
    assert {RunFolder(job.folder).read_order().spec.seed for job in launcher.submitted} == {2}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_stops_the_study_and_loses_nothing(study, monkeypatch, number):
    def full(self: RunFolder, order: object) -> None:
        if len(study.records()) == 2:
            raise OSError(number, os.strerror(number))
        write(self, order)

    write = RunFolder.write_order
    monkeypatch.setattr(RunFolder, "write_order", full)
    with pytest.raises(OSError, match=os.strerror(number)):
        start(study, FakeLauncher(capacity=1))
    monkeypatch.setattr(RunFolder, "write_order", write)
    launcher = FakeLauncher()
    assert start(study, launcher)
    assert len(launcher.submitted) == 2


def test_a_damaged_record_is_set_aside_and_its_run_repeated(study):
    start(study, FakeLauncher())
    damaged = next(iter(study.records()))
    study.run(damaged).record_file.write_text('{"key": ')
    launcher = FakeLauncher()
    with pytest.warns(UserWarning, match="set aside"):
        assert start(study, launcher)
    assert [job.folder.name for job in launcher.submitted] == [damaged]
    assert study.run(damaged).record_file.with_suffix(".damaged").exists()


def test_the_cells_of_a_search_stand_in_the_study_and_are_found_again(study):
    assert start(study, FakeLauncher(), SEARCH)
    cells = study.read_sweep().cells
    assert len(cells) == 3
    launcher = FakeLauncher()
    assert start(study, launcher)
    assert launcher.submitted == []
    assert study.read_sweep().cells == cells


class Interrupted(FakeLauncher):
    """Sends a signal to this process while the first run works, and ends every run as asked."""

    def __init__(self, *numbers: signal.Signals) -> None:
        super().__init__(lambda *_: -signal.SIGTERM if self.drained else "complete")
        self._numbers = list(numbers)

    def wait(self, timeout: float) -> list[Ended]:
        for number in self._numbers:
            os.kill(os.getpid(), number)
        self._numbers.clear()
        return super().wait(timeout)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_asked_once_it_starts_nothing_more_and_waits_for_what_runs(study, number):
    launcher, seen = Interrupted(number), Seen()
    with pytest.raises(KeyboardInterrupt):
        start(study, launcher, seen=seen)
    assert (launcher.drained, len(launcher.submitted)) == (1, 2)
    assert [note.partition(":")[0] for note in seen.notes] == ["stopping"]
    assert [(record.status, record.failure) for record in seen.records] == [("complete", None), ("failed", "preempted")]
    again = FakeLauncher()
    assert start(study, again)
    assert len(again.submitted) == 3
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_asked_twice_it_waits_for_nothing(study):
    launcher = Interrupted(signal.SIGTERM, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        start(study, launcher)
    assert launcher.drained == 0
    assert study.records() == {}


def test_runs_that_outlived_their_runner_are_taken_over_and_not_started_again(study):
    first = FakeLauncher()
    start(study, first)
    left, lost = (job.folder.name for job in first.submitted[2:])
    for key in (left, lost):
        study.run(key).record_file.unlink()
    launcher, seen = FakeLauncher(capacity=1), Seen()
    launcher.left_running = (left,)
    assert start(study, launcher, seen=seen)
    assert [job.folder.name for job in launcher.submitted] == [lost]
    assert {record.key for record in seen.records} == {left, lost}
    assert all(state.total == 4 for state in seen.states)


def test_more_runs_may_be_taken_over_than_are_started_at_a_time(study):
    first = FakeLauncher()
    start(study, first)
    for job in first.submitted:
        RunFolder(job.folder).record_file.unlink()
    launcher = FakeLauncher(capacity=1)
    launcher.left_running = tuple(job.folder.name for job in first.submitted)
    assert start(study, launcher)
    assert launcher.submitted == []
