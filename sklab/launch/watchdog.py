"""Tells which runs hang: no step for a long time, though they could have made one; and ends them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import cast

from sklab.store.run_folder import RunFolder
from sklab.system.processes import PATIENCE, end_at_once, what_blocks

STALE_AFTER = 1800.0  # seconds without a step
_STEPS = 20  # a run with slow steps gets this many times its own longest one
_DISK = 4  # times as long it may wait for disks in all: who is stuck in a driver looks the same, and never comes back
_OUTSIDE = 8  # times as long before the first step and after the record: data are prepared, weights evaluated
_LOOK = 10.0  # seconds that one look counts at most: in what goes beyond we did not run, so perhaps nobody did
_LOOK_EVERY = 0.5  # seconds between two looks; also between two moments at which Ray can interrupt its task


@dataclass
class _Silence:
    """`seconds` since the file changed last from `beat`, its time, and the `longest` there were before; `on_disks`:
    those beside that were spent waiting for disks."""

    beat: int | None = None
    seconds: float = 0.0
    longest: float = 0.0
    on_disks: float = 0.0


class Watchdog:
    """Adds up how long each run gave no sign of life, look by look; to be asked about once a second.

    Only time in which both we and the run could work counts: not what a suspended machine slept, nor what the run, or
    what it started, was stopped by somebody. Waiting for disks is counted by itself, and may take longer. The clock is
    monotonic and the heartbeat is only compared with itself, so a clock that is set changes nothing.
    """

    def __init__(
        self,
        stale_after: float,
        clock: Callable[[], float] = time.monotonic,
        what_blocks: Callable[[int], str] = what_blocks,
    ) -> None:
        self._stale_after, self._clock, self._what_blocks = stale_after, clock, what_blocks
        self._last = clock()
        self._runs: dict[tuple[Path, int], _Silence] = {}

    def hung(self, running: Iterable[tuple[Path, int]]) -> list[Path]:
        """The hanging ones of the running runs, each given as a folder and a process id."""
        moment = self._clock()
        passed, self._last = min(moment - self._last, _LOOK), moment
        self._runs = {run: self._look(run, passed) for run in running}
        return [folder for (folder, _), silence in self._runs.items() if self._is_over(folder, silence)]

    def _look(self, run: tuple[Path, int], passed: float) -> _Silence:
        folder, pid = run
        silence, beat = self._runs.get(run, _Silence()), _beat(folder)
        if beat != silence.beat:
            longest = max(silence.longest, silence.seconds) if silence.beat is not None else 0.0
            return _Silence(beat, longest=longest)
        blocked = self._what_blocks(pid) if run in self._runs else "stopped"
        if blocked == "disk":
            silence.on_disks += passed
        elif not blocked:
            silence.seconds += passed
        return silence

    def _is_over(self, folder: Path, silence: _Silence) -> bool:
        limit = self._limit(folder, silence)
        return silence.seconds > limit or silence.on_disks > _DISK * limit

    def _limit(self, folder: Path, silence: _Silence) -> float:
        if silence.beat is None or RunFolder(folder).record_file.exists():
            return _OUTSIDE * self._stale_after
        return max(self._stale_after, _STEPS * silence.longest)


def _beat(folder: Path) -> int | None:
    try:
        return RunFolder(folder).heartbeat_file.stat().st_mtime_ns
    except OSError:
        return None


def wait_for(process: BaseProcess, folder: Path, stale_after: float) -> bool:
    """Wait until the run in `folder` ends, or hangs by the measure of the Watchdog (0: never); whether it hangs."""
    watchdog = Watchdog(stale_after) if stale_after else None
    while process.is_alive():
        process.join(_LOOK_EVERY)
        if watchdog and watchdog.hung([(folder, cast(int, process.pid))]):
            return True
    return False


def end_group(process: BaseProcess, patience: float = PATIENCE) -> bool:
    """End the process, and what it started; whether it has ended, as of `end_at_once`."""
    process.kill()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(cast(int, process.pid), signal.SIGKILL)
    return end_at_once(process, patience)
