"""The GPUs of this machine as nvidia-smi tells of them, under the names that CUDA_VISIBLE_DEVICES has for them.

CUDA is not loaded here. Nothing is raised: what can't be used, and why, is told with the rest.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from sklab.system.safe_path import program

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_DRIVER = Path("/proc/driver/nvidia/gpus")  # a folder for each GPU that the driver of this kernel has
_PATIENCE = 30.0  # seconds
_NONE = ("NoDevFiles", "none", "void")  # as Slurm and containers write that a job has no GPU

Row = list[str]  # index and UUID of a GPU, what was asked of it, and its name


@dataclass(frozen=True)
class GpuUse:
    """A GPU at a moment; what nvidia-smi does not tell (of a part of a GPU cut by MIG), or was not asked, is None.

    gpu                as CUDA_VISIBLE_DEVICES names it
    used_mb, total_mb  its memory, in 10^6 bytes
    busy               per cent of the last second or less in which anything was computed on it
    processes          that compute on it: number and program. A container sees none outside itself
    """

    gpu: str
    name: str
    used_mb: float | None = None
    total_mb: float | None = None
    busy: float | None = None
    processes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Seen:
    """What there is to see of GPUs.

    gpus   those that can be used
    fault  why there are none, or not all; "" where nothing is wrong
    meant  whether GPUs are evidently meant to be here: CUDA_VISIBLE_DEVICES names some, or the driver has some
    """

    gpus: tuple[GpuUse, ...]
    fault: str = ""
    meant: bool = False


def see_gpus() -> Seen:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves visible, by name."""
    rows, fault, meant = _visible(["--query-gpu=index,uuid,name", "--format=csv,noheader"], 3)
    return Seen(tuple(GpuUse(entry, row[-1]) for entry, row in rows.items()), fault, meant)


def see_use() -> Seen:
    """The same GPUs, and their current use."""
    how = "--format=csv,noheader,nounits"
    rows, fault, meant = _visible(["--query-gpu=index,uuid,memory.used,memory.total,utilization.gpu,name", how], 6)
    running = _rows(_ask(["--query-compute-apps=gpu_uuid,pid,process_name", how])[0], 3) if rows else []
    return Seen(tuple(_use(entry, row, running) for entry, row in rows.items()), fault, meant)


def look_at_gpus() -> tuple[GpuUse, ...]:
    """The current use of those that can be used."""
    return see_use().gpus


def _use(entry: str, row: Row, running: Sequence[Row]) -> GpuUse:
    _, uuid, used, total, busy, name = row
    processes = tuple(f"{pid} ({Path(program).name})" for on, pid, program in running if on == uuid)
    return GpuUse(entry, name, _megabytes(used), _megabytes(total), _number(busy), processes)


def _visible(query: list[str], columns: int) -> tuple[dict[str, Row], str, bool]:
    """The rows of the visible GPUs by their name there, and `fault` and `meant` of Seen."""
    wanted = _wanted()
    if wanted == []:
        return {}, f"{_VISIBLE} hides them", False
    text, fault = _ask(query)
    rows = [row for row in _rows(text, columns) if row[0].isdecimal() and row[1].startswith("GPU-")]
    if wanted is None:
        return {row[0]: row for row in rows}, fault or ("" if rows else "nvidia-smi shows none"), _driver_has_gpus()
    found = {entry: row for entry in wanted if (row := _named(entry, rows))}
    missing = [entry for entry in wanted if entry not in found]
    if missing and not fault:
        there = ", ".join(f"{row[0]} ({row[-1]})" for row in rows) or "none"
        fault = f"{_VISIBLE}: found {', '.join(missing)}; nvidia-smi shows {there}"
    return _each_once(found), fault, True


def _each_once(found: dict[str, Row]) -> dict[str, Row]:
    """Without a second name of a GPU that has one already."""
    first: dict[str, str] = {}
    for entry, row in found.items():
        first.setdefault(row[1], entry)
    return {entry: found[entry] for entry in first.values()}


def _wanted() -> list[str] | None:
    """The entries of CUDA_VISIBLE_DEVICES up to the first that ends them, as for CUDA; None where all are visible."""
    visible = os.environ.get(_VISIBLE)
    if visible is None:
        return None
    entries = [entry.strip() for entry in visible.split(",")]
    ends = (at for at, entry in enumerate(entries) if entry.startswith("-") or entry in ("", *_NONE))
    return entries[: next(ends, None)]


def visible_entries(devices: int) -> list[str]:
    """The names of the first `devices` GPUs that this process sees."""
    wanted = _wanted()
    return [str(number) for number in range(devices)] if wanted is None else wanted[:devices]


def _named(entry: str, rows: Sequence[Row]) -> Row | None:
    """The GPU that an entry names: by its number, its UUID or the beginning of a UUID that no other has. A part of a
    GPU is taken at its word, for nvidia-smi lists whole ones."""
    if entry.startswith("MIG-") and rows:
        names = {row[-1] for row in rows}
        return [entry, entry, *["[N/A]"] * (len(rows[0]) - 3), f"{names.pop() if len(names) == 1 else 'GPU'} MIG"]
    matches = [row for row in rows if row[0] == entry or (entry.startswith("GPU-") and row[1].startswith(entry))]
    return matches[0] if len(matches) == 1 else None


def _ask(query: list[str]) -> tuple[str, str]:
    """What nvidia-smi prints, whatever its exit code, and what it has to complain of: with one GPU lost, it tells of
    the others all the same."""
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            [program("nvidia-smi"), *query], stdout=pipe, stderr=pipe, text=True, errors="replace"
        )
    except FileNotFoundError:
        return "", "there is no nvidia-smi on the PATH"
    except OSError as error:
        return "", f"nvidia-smi can't be started ({error})"
    try:
        said, complaint = process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        _leave(process)
        return "", f"nvidia-smi did not answer within {_PATIENCE:g} s"
    if process.returncode == 0:
        return said, ""
    lines = [line for line in (complaint + said).splitlines() if line.strip() and not line[0].isdecimal()]
    return said, ": ".join([f"nvidia-smi ended with exit code {process.returncode}", *lines[:1]])


def _leave(process: subprocess.Popen[str]) -> None:
    """End the process, but do not wait for long: one that is stuck in the driver never ends."""
    process.kill()
    for pipe in (process.stdout, process.stderr):
        cast(IO[str], pipe).close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(1.0)


def _driver_has_gpus() -> bool:
    try:
        return any(_DRIVER.iterdir())
    except OSError:
        return False


def _rows(text: str, columns: int) -> list[Row]:
    """The comma-separated lines of `text`; the last column may hold commas."""
    lines = (line.split(",", columns - 1) for line in text.splitlines())
    return [[part.strip() for part in parts] for parts in lines if len(parts) == columns]


def _megabytes(mebibytes: str) -> float | None:
    number = _number(mebibytes)
    return None if number is None else number * 2**20 / 1e6


def _number(text: str) -> float | None:
    """nvidia-smi writes [N/A], or the like, where it does not know."""
    try:
        return float(text)
    except ValueError:
        return None
