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
from sklab.system.processes import is_blocked

STALE_AFTER = 1800.0  # seconds without a step
_STEPS = 20  # a run with slow steps gets this many times its own longest one
_OUTSIDE = 8  # times as long before the first step and after the record: data are prepared, weights evaluated
_LOOK = 10.0  # seconds that one look counts at most: in what goes beyond we did not run, so perhaps nobody did
_LOOK_EVERY = 0.5  # seconds between two looks; also between two moments at which Ray can interrupt its task


@dataclass
class _Silence:
    """`seconds` since the file changed last from `beat`, its time, and the `longest` there were before."""

    beat: int | None = None
    seconds: float = 0.0
    longest: float = 0.0


class Watchdog:
    """Adds up how long each run gave no sign of life, look by look; to be asked about once a second.

    Only time in which both we and the run could work counts: not what a suspended machine slept, nor what the run, or
    what it started, waits for a disk or was stopped by somebody. The clock is monotonic and the heartbeat is only
    compared with itself, so a clock that is set changes nothing.
    """

    def __init__(
        self,
        stale_after: float,
        clock: Callable[[], float] = time.monotonic,
        is_blocked: Callable[[int], bool] = is_blocked,
    ) -> None:
        self._stale_after, self._clock, self._is_blocked = stale_after, clock, is_blocked
        self._last = clock()
        self._runs: dict[tuple[Path, int], _Silence] = {}

    def hung(self, running: Iterable[tuple[Path, int]]) -> list[Path]:
        """The hanging ones of the running runs, each given as a folder and a process id."""
        moment = self._clock()
        passed, self._last = min(moment - self._last, _LOOK), moment
        self._runs = {run: self._look(run, passed) for run in running}
        return [folder for (folder, _), silence in self._runs.items() if silence.seconds > self._limit(folder, silence)]

    def _look(self, run: tuple[Path, int], passed: float) -> _Silence:
        folder, pid = run
        silence, beat = self._runs.get(run, _Silence()), _beat(folder)
        if beat != silence.beat:
            longest = max(silence.longest, silence.seconds) if silence.beat is not None else 0.0
            return _Silence(beat, longest=longest)
        if run in self._runs and not self._is_blocked(pid):
            silence.seconds += passed
        return silence

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


def end_group(process: BaseProcess) -> None:
    """End the process, and what it started."""
    process.kill()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(cast(int, process.pid), signal.SIGKILL)
    process.join()
