"""Locks on disks that have none, and on those that fail."""

from __future__ import annotations

import errno
import fcntl
import os

import pytest

from sklab.errors import SklabError
from sklab.folders import StudyFolder
from sklab.locks import alone, is_held


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
        alone(study),
    ):
        pass
    assert not is_held(study.lock_file)


def test_a_disk_that_fails_is_told_as_it_is(study, fault):
    fault(errno.EIO)
    with pytest.raises(OSError, match="Input/output error"), alone(study):
        pass
    with pytest.raises(OSError, match="Input/output error"):
        is_held(study.lock_file)
