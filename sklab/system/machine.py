"""What this machine is, told without torch: its processor, its GPUs, the folder for what can be computed again."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sklab.system.safe_path import program


def find_gpus() -> list[tuple[str, str]]:
    """Index and name of each NVIDIA GPU that CUDA_VISIBLE_DEVICES leaves visible, without loading CUDA here."""
    query = ["nvidia-smi", "--query-gpu=index,uuid,name", "--format=csv,noheader"]
    return [(entry, name) for entry, (_, _, name) in _visible(_rows(query, 3))]


@dataclass(frozen=True)
class GpuUse:
    """A GPU at a moment, as nvidia-smi tells it; what it does not tell (of a GPU cut by MIG) is None.

    gpu                as CUDA_VISIBLE_DEVICES names it
    used_mb, total_mb  its memory, in 10^6 bytes
    busy               per cent of the last second or less in which anything was computed on it
    processes          that compute on it: number and program. A container sees none outside itself
    """

    gpu: str
    name: str
    used_mb: float | None
    total_mb: float | None
    busy: float | None
    processes: tuple[str, ...] = ()


def look_at_gpus() -> tuple[GpuUse, ...]:
    """The current use of each GPU that `find_gpus` finds."""
    gpus = "--query-gpu=index,uuid,memory.used,memory.total,utilization.gpu,name"
    apps = "--query-compute-apps=gpu_uuid,pid,process_name"
    how = "--format=csv,noheader,nounits"
    running = _rows(["nvidia-smi", apps, how], 3)
    return tuple(
        GpuUse(
            gpu=entry,
            name=name,
            used_mb=_megabytes(used),
            total_mb=_megabytes(total),
            busy=_number(busy),
            processes=tuple(f"{pid} ({Path(program).name})" for on, pid, program in running if on == uuid),
        )
        for entry, (_, uuid, used, total, busy, name) in _visible(_rows(["nvidia-smi", gpus, how], 6))
    )


def _rows(command: list[str], columns: int) -> list[list[str]]:
    """The comma-separated lines that `command` prints; the last column may hold commas."""
    lines = (line.split(",", columns - 1) for line in output(command).splitlines())
    return [[part.strip() for part in parts] for parts in lines if len(parts) == columns]


def _visible(rows: list[list[str]]) -> list[tuple[str, list[str]]]:
    """The rows, each with index and UUID of a GPU first, that CUDA_VISIBLE_DEVICES leaves, with the name used there."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [(row[0], row) for row in rows]
    wanted = [entry.strip() for entry in visible.split(",")]
    return [(entry, row) for entry in wanted for row in rows if entry in row[:2]]


def _megabytes(mebibytes: str) -> float | None:
    number = _number(mebibytes)
    return None if number is None else number * 2**20 / 1e6


def _number(text: str) -> float | None:
    """nvidia-smi writes [N/A], or the like, where it does not know."""
    try:
        return float(text)
    except ValueError:
        return None


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
