"""Shares of this machine: one GPU each, or an even share of the CPU cores."""

from __future__ import annotations

import os
from dataclasses import dataclass

from sklab.errors import SklabError
from sklab.machine import cpu_name, find_gpus

_MOST_CPU_SLOTS = 8  # more single-thread runs than this rarely pay: they share caches and memory


@dataclass(frozen=True)
class Slot:
    """Where one run executes: `gpu` is an entry for CUDA_VISIBLE_DEVICES, None for the CPU; `threads` are torch's."""

    gpu: str | None
    name: str
    threads: int


def find_slots(count: int | None = None) -> tuple[Slot, ...]:
    """The slots of this machine: every GPU, else the CPU cut in `count` shares (default: one core each, at most 8).

    With GPUs, `count` takes the first so many of them. Raises SklabError when there are fewer.
    """
    cores, gpus = len(os.sched_getaffinity(0)), find_gpus()
    most = len(gpus) or cores
    if count is not None and not 1 <= count <= most:
        what = "one per GPU" if gpus else "one per core"
        raise SklabError(f"--slots: found {count}; allowed: 1 to {most}, {what} of this machine")
    if not gpus:
        shares = count or min(cores, _MOST_CPU_SLOTS)
        return (Slot(None, cpu_name(), cores // shares),) * shares
    chosen = gpus[:count]
    return tuple(Slot(index, name, max(1, cores // len(chosen))) for index, name in chosen)
