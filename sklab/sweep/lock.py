"""One process at a time has a study."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from sklab.errors import StudyLockedError
from sklab.folders import StudyFolder


@contextmanager
def alone(folder: StudyFolder) -> Iterator[None]:
    """Hold the study's lock; it falls with the process, however that ends."""
    with folder.lock_file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StudyLockedError(
                f"another runner is working on {folder.path}; wait for it or stop it first"
            ) from error
        yield
