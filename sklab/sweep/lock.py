"""One process at a time has a study."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from sklab.errors import StudyLockedError
from sklab.folders import StudyFolder


@contextmanager
def alone(folder: StudyFolder) -> Iterator[None]:
    """Hold the study's lock, a file as old as that; it falls with the process, however that ends."""
    with folder.lock_file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StudyLockedError(
                f"another runner is working on {folder.path}; wait for it or stop it first"
            ) from error
        os.utime(lock.fileno())
        yield
