"""The processes of wandb that a test has started, and waiting for them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path


def wait_for(condition: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def service_processes() -> list[int]:
    """The wandb-core processes that this process has started and that still live."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat") if sys.platform == "linux" else ():
        try:
            name, rest = status.read_text().rsplit(") ", 1)
        except OSError:
            continue
        state, parent = rest.split()[:2]
        if "(wandb-core" in name and int(parent) == os.getpid() and state != "Z":
            found.append(int(status.parent.name))
    return found
