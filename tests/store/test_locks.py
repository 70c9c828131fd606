"""Locks on disks that have none, and on those that fail."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import ExitStack

import pytest

from sklab.errors import SklabError, StudyLockedError
from sklab.store.states import is_held, study_lock
from sklab.store.study_folder import StudyFolder


@pytest.fixture
def study(tmp_path):
    folder = StudyFolder(tmp_path / "study")
    folder.path.mkdir()
    folder.lock_file.touch()
    return folder


@pytest.fixture
def fault(monkeypatch):
    def set_to(number: int) -> None:
        def flock(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl, "flock", flock)

    return set_to


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_no_runner_starts_and_none_is_taken_to_run(study, fault, number):
    fault(number)
    with (
        pytest.raises(SklabError, match=r"study can't be locked \(.*\), so two runners .*--results.*-o flock"),
        study_lock(study),
    ):
        pass
    assert not is_held(study.lock_file)


def test_a_disk_that_fails_is_told_as_it_is(study, fault):
    fault(errno.EIO)
    with pytest.raises(OSError, match="Input/output error"), study_lock(study):
        pass
    with pytest.raises(OSError, match="Input/output error"):
        is_held(study.lock_file)


def test_who_looks_turns_no_runner_away(study):
    """Three watchers look in the very moment in which a runner starts, each for a while."""
    looking = [study.lock_file.open() for _ in range(3)]
    for watcher in looking:
        fcntl.flock(watcher, fcntl.LOCK_SH | fcntl.LOCK_NB)
    with study_lock(study, pause=lambda _: looking.pop().close()):
        assert looking == []
        assert is_held(study.lock_file)
    assert not is_held(study.lock_file)


def test_another_runner_is_told_at_once_whoever_looks(study):
    def pause(_: float) -> None:
        pytest.fail("a runner is not waited for")

    with (
        study_lock(study),
        pytest.raises(StudyLockedError, match="another runner is working on"),
        study_lock(study, pause),
    ):
        pass


def test_of_two_runners_that_start_while_somebody_looks_one_works(study):
    watcher = study.lock_file.open()
    fcntl.flock(watcher, fcntl.LOCK_SH | fcntl.LOCK_NB)
    with ExitStack() as other:

        def overtaken(_: float) -> None:
            watcher.close()
            other.enter_context(study_lock(study))

        with pytest.raises(StudyLockedError), study_lock(study, overtaken):
            pass


def test_a_watcher_that_never_ends_is_not_waited_for_forever(study):
    waits = []
    with study.lock_file.open() as watcher:
        fcntl.flock(watcher, fcntl.LOCK_SH | fcntl.LOCK_NB)
        with pytest.raises(StudyLockedError), study_lock(study, waits.append):
            pass
    assert 5 < sum(waits) < 60


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_lies_in_the_place_of_a_lock_is_not_waited_for(tmp_path, make):
    folder = StudyFolder(tmp_path)
    make(folder.lock_file)
    assert not is_held(folder.lock_file)
    with pytest.raises(OSError, match=r"\.lock"), study_lock(folder):
        pass
