"""The states of a run, in the words that every command, page and file uses.

complete    it has its numbers
diverged    its loss was not finite: this is a result, and the run is not repeated
pruned      its search ended it because it was worse than others: not repeated as long as the search prunes
failed      its record names the class of the failure: the next start tries it again
stopped     it was asked to end (Ctrl-C, a signal, preemption) or ended with its runner: the next start continues it
unreadable  it has a record that can't be read, so nothing is known
running     a runner or a cluster trains it
waiting     it has not begun

A study has one runner at a time, a run one process: each holds a lock, which is released when the process ends in any
way.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import IO, get_args

from sklab.errors import SklabError, StudyLockedError
from sklab.store.files import is_regular
from sklab.store.records import RunRecord, RunState
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder

STATES: tuple[RunState, ...] = get_args(RunState)
TROUBLED: tuple[RunState, ...] = ("failed", "diverged")
UNENDED: tuple[RunState, ...] = ("stopped", "unreadable", "running", "waiting")
ENDED_WITH_RUNNER = "it ended with its runner"  # the reason of a stopped run without a record
TO_DO: tuple[RunState, ...] = ("failed", "stopped", "waiting")  # by the next start
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
_REMEDY = "put the results on another disk (--results), or have it mounted with locks (Lustre: -o flock)"
_WAIT = 0.01  # seconds between two tries, while another process checks the lock
_MOST_WAITS = 1000


def counts_of(states: Iterable[RunState]) -> dict[RunState, int]:
    """The number of runs in each state, zeros included."""
    counts = Counter(states)
    return {state: counts[state] for state in STATES}


def other_counts(counts: Mapping[RunState, int]) -> str:
    """The counts that follow the number of complete runs: `, 1 diverged, 2 waiting`."""
    return "".join(f", {counts[state]} {state}" for state in STATES[1:] if counts.get(state))


def how_it_ended(record: RunRecord) -> str:
    """The status of a run without a result, and its reason: `failed (oom): CUDA out of memory`."""
    if record.state == "pruned":
        return f"pruned after epoch {record.epochs}: {record.reason}"
    kind = f" ({record.failure})" if record.state == "failed" else ""
    return f"{record.state}{kind}: {record.reason or 'no reason recorded'}"


def begun_at(study: StudyFolder) -> float:
    """The time at which the study's runner began, in seconds as of `time.time`; infinite without a runner."""
    return study.lock_file.stat().st_mtime if is_held(study.lock_file) else inf


def unended_state(run: RunFolder, since: float) -> RunState:
    """The state of a run without a record; `since` is the time at which the study's runner began (infinite without
    one)."""
    if not is_regular(run.order_file):
        return "waiting"
    if run.is_queued:
        return "running" if since < inf or is_held(run.lock_file) else "waiting"
    if run.order_file.stat().st_mtime >= since:
        return "running"
    return "stopped" if run.log_file.exists() else "waiting"


def unended_states(study: StudyFolder, keys: Iterable[str]) -> dict[str, RunState]:
    """The states of those runs of a study that have no record."""
    since = begun_at(study)
    return {key: unended_state(study.run(key), since) for key in keys}


@contextmanager
def study_lock(folder: StudyFolder, pause: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """Hold the study's lock; the lock file's time is the moment at which it was taken. Raises StudyLockedError while
    another process holds it, SklabError where the file system has no locks."""
    with open(folder.lock_file, "a", opener=open_without_waiting) as lock:
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


def ensure_still_there(folder: StudyFolder) -> None:
    """Raise SklabError if a study's folder has gone since its lock was taken: a disk may have vanished, and nothing is
    to be created where it was mounted."""
    if not folder.lock_file.exists():
        raise SklabError(f"{folder.path} has gone while the study ran; the same command goes on once it is back")


def open_without_waiting(path: str, flags: int) -> int:
    """Open a file without waiting, even if it is a pipe."""
    return os.open(path, flags | os.O_NONBLOCK, 0o666)


def _taken(lock: IO[str], pause: Callable[[float], None]) -> bool:
    """Take the lock; returns whether this process has it now. A process that only checks it (`is_held`) shares it for a
    moment, and this one waits for that; only another runner does not share it."""
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
    """Whether a process holds this lock now: a runner that of its study, a run's process that of its folder."""
    try:
        with open(lock_file, opener=open_without_waiting) as lock:
            return not _try(lock, fcntl.LOCK_SH)
    except (FileNotFoundError, IsADirectoryError):
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise  # without locks nobody can hold one
    return False
