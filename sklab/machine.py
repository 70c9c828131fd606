"""What this machine is, told without torch: its processor, its GPUs, the checkout that sklab runs from."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sklab.records import Code


def find_gpus() -> list[tuple[str, str]]:
    """Index and name of each NVIDIA GPU that CUDA_VISIBLE_DEVICES leaves visible, without loading CUDA here."""
    query = ["nvidia-smi", "--query-gpu=index,uuid,name", "--format=csv,noheader"]
    found = [tuple(part.strip() for part in line.split(",", 2)) for line in _output(query).splitlines()]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [(index, name) for index, _, name in found]
    wanted = [entry.strip() for entry in visible.split(",")]
    return [(entry, name) for entry in wanted for index, uuid, name in found if entry in (index, uuid)]


@cache
def cpu_name() -> str:
    """The processor's model, as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def this_code() -> Code:
    """The version of sklab and, when it runs from a git checkout, the commit and whether the tree was dirty."""
    here = ["git", "-C", str(Path(__file__).parent)]
    commit = _output([*here, "rev-parse", "HEAD"]).strip()
    dirty = bool(commit and _output([*here, "status", "--porcelain", "--untracked-files=no"]).strip())
    return Code(version=version("sklab"), commit=commit, dirty=dirty)


def installed(names: Iterable[str]) -> dict[str, str]:
    """The version of each of these packages, or "not installed"."""
    return {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _output(command: list[str]) -> str:
    """What `command` prints, or "" where it can't run."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
