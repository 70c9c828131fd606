"""What tests of launchers share: a slot, a recipe that takes for ever, and waiting for jobs."""

from __future__ import annotations

import time
from collections.abc import Callable

from sklab.launch.base import Ended, Launcher
from sklab.launch.slots import Slot
from sklab.store.run_folder import RunFolder

CPU = Slot(None, "cpu", 1)
LONG = {"epochs": 100_000}
Made = Callable[..., RunFolder]


def collect(launcher: Launcher, count: int) -> list[Ended]:
    ended: list[Ended] = []
    deadline = time.monotonic() + 600
    while len(ended) < count:
        assert time.monotonic() < deadline, f"the launcher lost a job; it told of {ended}"
        ended += launcher.wait(5.0)
    return ended
