"""Shares of this machine: the GPUs that a run needs, or an even share of the CPU cores."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from sklab.errors import SklabError
from sklab.system.machine import cpu_name
from sklab.system.nvidia import GpuUse, Seen, see_gpus
from sklab.system.terminal import tell

Gpus = list[tuple[str, str]]
PerGpu = int | Literal["auto"]

_MOST_CPU_SLOTS = 8  # more single-thread runs than this rarely pay: they share caches and memory
_MOST_PER_GPU, _MOST_DIGITS = 1000, 4


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


def without_one(slots: tuple[Slot, ...], gpu: str | None) -> tuple[Slot, ...]:
    """The slots without one of those on `gpu`, if there are any."""
    at = next((at for at, slot in enumerate(slots) if slot.gpu == gpu), len(slots))
    return slots[:at] + slots[at + 1 :]


def shared(slots: tuple[Slot, ...], per_gpu: int) -> tuple[Slot, ...]:
    """`per_gpu` slots for each of these, with its threads divided among them."""
    return tuple(replace(slot, threads=max(1, slot.threads // per_gpu)) for slot in slots) * per_gpu


def next_slot(slots: Iterable[Slot], taken: Iterable[Slot], avoided: Container[str | None] = ()) -> Slot:
    """A free slot, on the GPU that the fewest of the taken ones are on; on an `avoided` one only where no other is
    free."""
    free, busy = list(slots), Counter(slot.gpu for slot in taken)
    surplus = Counter(slot.gpu for slot in free) - busy
    gpu = min(surplus, key=lambda gpu: (gpu in avoided, busy[gpu]))
    return next(slot for slot in free if slot.gpu == gpu)


def runs_per_gpu(text: str, option: str = "--per-gpu") -> PerGpu:
    """The value of `option`. Raises SklabError for anything but a whole number from 1 to 1000, or auto."""
    if text == "auto":
        return "auto"
    if not text.isdecimal() or len(text) > _MOST_DIGITS or not 1 <= int(text) <= _MOST_PER_GPU:
        raise SklabError(f"{option}: found {text}; allowed: 1 to {_MOST_PER_GPU}, or auto (default: 1)")
    return int(text)


def find_gpus() -> Gpus:
    """Index and name of each GPU that can be used here. Raises SklabError and tells as `usable` does."""
    return [(gpu.gpu, gpu.name) for gpu in usable(see_gpus(), tell)]


def usable(seen: Seen, tell: Callable[[str], None]) -> tuple[GpuUse, ...]:
    """The GPUs that can be used; why others can't be is told. Raises SklabError where GPUs are evidently meant to be
    here and none can be used: the CPU in their place would take days without a word."""
    if seen.meant and not seen.gpus:
        raise SklabError(f"no GPU can be used: {seen.fault}; mend that, or choose the CPU with --cpu")
    if seen.gpus and seen.fault:
        tell(f"not every GPU can be used: {seen.fault}")
    return seen.gpus


def find_slots(
    count: int | None = None,
    devices: int = 1,
    gpus: Gpus | None = None,
    per_gpu: PerGpu = 1,
    option: str = "--per-gpu",
) -> tuple[Slot, ...]:
    """The slots of this machine for runs on `devices` devices each: `per_gpu` on each of its GPUs (or of `gpus`, index
    and name), or so many GPUs to a slot; without GPUs the CPU cut in `count` shares (default: one core per device, at
    most 8 shares). `auto` begins with one run per GPU; `option` is the one that says so.

    With GPUs, `count` takes so many slots, spread over them. Raises SklabError when the machine has fewer, and for
    runs that can't share GPUs.
    """
    cores, gpus = len(os.sched_getaffinity(0)), find_gpus() if gpus is None else gpus
    _refuse_sharing(count, devices, gpus, per_gpu, option)
    runs_each = 1 if per_gpu == "auto" else per_gpu
    most = len(gpus) // devices * runs_each if gpus else max(1, cores // devices)
    if count is not None and not 1 <= count <= most:
        unit = f"{devices} {'GPUs' if gpus else 'cores'}" if devices > 1 else "GPU" if gpus else "core"
        number = "one" if runs_each == 1 else runs_each
        raise SklabError(f"--slots: found {count}; allowed: 1 to {most}, {number} per {unit} of this machine")
    shares = count or (most if gpus else min(most, _MOST_CPU_SLOTS))
    threads = max(1, cores // shares)
    if not gpus:
        return (Slot(None, cpu_name(), threads),) * shares
    groups = [gpus[start : start + devices] for start in range(0, len(gpus) - devices + 1, devices)]
    spread = (groups * runs_each)[:shares]
    return tuple(Slot(",".join(index for index, _ in group), group[0][1], threads) for group in spread)


def _refuse_sharing(count: int | None, devices: int, gpus: Gpus, per_gpu: PerGpu, option: str) -> None:
    if gpus and devices > len(gpus):
        raise SklabError(
            f"train.devices: found {devices}; allowed: 1 to {len(gpus)}, the GPUs of this machine that are visible and "
            f"free (for example --set train.devices={len(gpus)})"
        )
    if (per_gpu != 1 or option == "--abreast") and not gpus:
        raise SklabError(f"{option}: found {per_gpu}; there is no GPU here (the CPU is cut by --slots)")
    if per_gpu != 1 and devices > 1:
        raise SklabError(f"{option}: found {per_gpu}; allowed: 1, for runs of this sweep train on {devices} GPUs each")
    if per_gpu == "auto" and count is not None:
        raise SklabError(f"--slots: not together with {option} auto, which finds the number of slots itself")


def given_slot(gpus: float, threads: int) -> Slot:
    """The slot of a run that an engine gave `gpus` GPUs, all that it left visible, or none. Raises SklabError when
    fewer can be used than there should be."""
    if not gpus:
        return Slot(None, cpu_name(), threads)
    seen = see_gpus()
    if len(seen.gpus) < gpus:
        usable = f"{len(seen.gpus) or 'none'} can be used{f': {seen.fault}' if seen.fault else ''}"
        raise SklabError(f"GPUs of {platform.node()}: this run was to have {gpus:g}; {usable}")
    return Slot(",".join(gpu.gpu for gpu in seen.gpus), seen.gpus[0].name, threads)


def ensure_enough(devices: int, name: str, given: float) -> None:
    """Raise SklabError when a run needs more `devices` than an engine's file gives it under `name`."""
    if devices > given:
        raise SklabError(f"{name}: found {given:g}; a run of this study trains on {devices} devices (train.devices)")
