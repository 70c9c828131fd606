"""One runner at a time has a study, one process a run: locks that fall with the process, however that ends."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sklab.errors import SklabError, StudyLockedError
from sklab.store.study_folder import StudyFolder

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
_REMEDY = "put the results on another disk (--results), or have it mounted with locks (Lustre: -o flock)"
_WAIT = 0.01  # seconds that whoever looks is given to be done
_MOST_WAITS = 1000


@contextmanager
def alone(folder: StudyFolder, pause: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """Hold the study's lock, a file as old as that. Raises StudyLockedError while another process does, SklabError
    where the file system knows no locks."""
    with open(folder.lock_file, "a", opener=at_once) as lock:
        try:
            is_ours = _taken(lock, pause)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            fault = f"{folder.path} can't be locked ({error.strerror}), so two runners could work on it"
            raise SklabError(f"{fault}; {_REMEDY}") from error
        if not is_ours:
            raise StudyLockedError(f"another runner is working on {folder.path}; wait for it or stop it first")
        os.utime(lock.fileno())
        yield


def at_once(path: str, flags: int) -> int:
    """Opens a file; what lies in its place, such as a pipe, is not waited for."""
    return os.open(path, flags | os.O_NONBLOCK, 0o666)


def _taken(lock: IO[str], pause: Callable[[float], None]) -> bool:
    """Whether this process has the lock now. Whoever looks (`is_held`) shares it for a moment and is waited for: only
    another runner does not share."""
    for _ in range(_MOST_WAITS):
        if _try(lock, fcntl.LOCK_EX):
            return True
        if not _try(lock, fcntl.LOCK_SH):
            return False
        fcntl.flock(lock, fcntl.LOCK_UN)
        pause(_WAIT)
    return False


def _try(lock: IO[str], how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held(lock_file: Path) -> bool:
    """Whether a process holds this lock at this moment: a runner its study's, a run's process that of its folder."""
    try:
        with open(lock_file, opener=at_once) as lock:
            return not _try(lock, fcntl.LOCK_SH)
    except (FileNotFoundError, IsADirectoryError):
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise  # without locks nobody can hold one
    return False
