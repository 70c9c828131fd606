"""Talking to the Slurm of the tests."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable


def end_all_jobs() -> None:
    subprocess.run(["scancel", "--me"], check=True)
    until(lambda: said("squeue", "-h") == "")


def said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def until(condition: Callable[[], bool], seconds: float = 180) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)
