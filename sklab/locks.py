"""One runner at a time has a study, one process a run: locks that fall with the process, however that ends."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sklab.errors import SklabError, StudyLockedError
from sklab.folders import StudyFolder

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
_REMEDY = "put the results on another disk (--results), or have it mounted with locks (Lustre: -o flock)"


@contextmanager
def alone(folder: StudyFolder) -> Iterator[None]:
    """Hold the study's lock, a file as old as that. Raises StudyLockedError while another process does, SklabError
    where the file system knows no locks."""
    with folder.lock_file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StudyLockedError(
                f"another runner is working on {folder.path}; wait for it or stop it first"
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            fault = f"{folder.path} can't be locked ({error.strerror}), so two runners could work on it"
            raise SklabError(f"{fault}; {_REMEDY}") from error
        os.utime(lock.fileno())
        yield


def is_held(lock_file: Path) -> bool:
    """Whether a process holds this lock at this moment: a runner its study's, a run's process that of its folder."""
    try:
        with lock_file.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise  # without locks nobody can hold one
    return False
