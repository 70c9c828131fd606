"""Shares of this machine: the GPUs that a run needs, or an even share of the CPU cores."""

from __future__ import annotations

import os
from dataclasses import dataclass

from sklab.errors import SklabError
from sklab.machine import cpu_name, find_gpus

_MOST_CPU_SLOTS = 8  # more single-thread runs than this rarely pay: they share caches and memory


@dataclass(frozen=True)
class Slot:
    """Where one run executes: `gpu` is the value of CUDA_VISIBLE_DEVICES ("0", or "0,1" for a run on two), None for the
    CPU; `threads` are torch's, of all its devices together."""

    gpu: str | None
    name: str
    threads: int


def halved(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
    """Half of the slots on each GPU, or on the CPU: at least one."""
    kept: list[Slot] = []
    for gpu in dict.fromkeys(slot.gpu for slot in slots):
        here = [slot for slot in slots if slot.gpu == gpu]
        kept += here[: max(1, len(here) // 2)]
    return tuple(kept)


def find_slots(count: int | None = None, devices: int = 1) -> tuple[Slot, ...]:
    """The slots of this machine for runs on `devices` devices each: its GPUs, so many to a slot, else the CPU cut in
    `count` shares (default: one core per device, at most 8 shares).

    With GPUs, `count` takes the first so many slots. Raises SklabError when the machine has fewer.
    """
    cores, gpus = len(os.sched_getaffinity(0)), find_gpus()
    if gpus and devices > len(gpus):
        raise SklabError(
            f"train.devices: found {devices}; allowed: 1 to {len(gpus)}, the GPUs of this machine that "
            f"CUDA_VISIBLE_DEVICES leaves visible (for example --set train.devices={len(gpus)})"
        )
    most = len(gpus) // devices if gpus else max(1, cores // devices)
    if count is not None and not 1 <= count <= most:
        each = f"{devices} {'GPUs' if gpus else 'cores'}" if devices > 1 else "GPU" if gpus else "core"
        raise SklabError(f"--slots: found {count}; allowed: 1 to {most}, one per {each} of this machine")
    shares = count or (most if gpus else min(most, _MOST_CPU_SLOTS))
    threads = max(1, cores // shares)
    if not gpus:
        return (Slot(None, cpu_name(), threads),) * shares
    groups = [gpus[start : start + devices] for start in range(0, shares * devices, devices)]
    return tuple(Slot(",".join(index for index, _ in group), group[0][1], threads) for group in groups)
