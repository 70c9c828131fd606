"""The process of a run where an engine put it: whoever started it there waits for it, and ends it if it hangs."""

from __future__ import annotations

import contextlib
import os
import signal
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import cast

from sklab.launch.watchdog import Watchdog

_LOOK_EVERY = 0.5  # seconds between two looks; also between two moments at which Ray can interrupt its task


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
