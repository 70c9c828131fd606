"""What this machine is, told without torch: its processor, the folder for what can be computed again."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from pathlib import Path

from sklab.system.safe_path import program


@cache
def cpu_name() -> str:
    """The processor's model, as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def cache_folder() -> Path:
    """`$SKLAB_CACHE`, by default `~/.cache/sklab`; safe to delete at any time."""
    return Path(os.environ.get("SKLAB_CACHE") or "~/.cache/sklab").expanduser()


def output(command: list[str]) -> str:
    """The output of `command`, or "" where it can't run. Git's environment variables are not passed on."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        return subprocess.run(
            [program(command[0]), *command[1:]],
            env={**environment, "GIT_OPTIONAL_LOCKS": "0"},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
