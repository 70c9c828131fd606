"""Which of this machine's GPUs somebody else has begun to use since we took them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from sklab.launch.local.gpus import use_of
from sklab.launch.slots import Slot
from sklab.system.machine import GpuUse, look_at_gpus

_EVERY = 10.0  # seconds between two looks, each of which costs two starts of nvidia-smi

Running = Iterable[tuple[Slot, int]]  # where each of our runs is, and its process group


class Neighbours:
    """To be asked whenever a slot falls free, and while somebody else uses a GPU; what changes is told in a line.

    used  the GPUs that somebody else used at the last look
    """

    def __init__(
        self,
        tell: Callable[[str], None],
        look: Callable[[], tuple[GpuUse, ...]] = look_at_gpus,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.used: frozenset[str] = frozenset()
        self._tell, self._see, self._clock, self._last = tell, look, clock, clock()

    def look(self, running: Running, slots: tuple[Slot, ...]) -> None:
        """Look at the GPUs of `slots` again, unless the last look is recent."""
        if self._clock() < self._last + _EVERY:
            return
        self._last, runs = self._clock(), list(running)
        ours = {gpu for slot in slots for gpu in gpus_of(slot)}
        uses = {gpu.gpu: _use_by_others(gpu, runs) for gpu in self._see() if gpu.gpu in ours}
        self._tell_changes(uses)
        self.used = frozenset(gpu for gpu, use in uses.items() if use)

    def usable(self, slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
        """The slots on GPUs that nobody else uses; while there is none, those of one GPU, for the study is to go on."""
        free = tuple(slot for slot in slots if self.used.isdisjoint(gpus_of(slot)))
        return free or tuple(slot for slot in slots if slot.gpu == slots[0].gpu)

    def _tell_changes(self, uses: dict[str, str]) -> None:
        for gpu, use in uses.items():
            if use and gpu not in self.used:
                told = f"GPU {gpu} is used by somebody else now: {use}"
                self._tell(f"{told}; no more runs go there while another GPU is free")
            if not use and gpu in self.used:
                self._tell(f"GPU {gpu} is free again, and gets runs")


def gpus_of(slot: Slot) -> list[str]:
    """The GPUs that a slot consists of; none on the CPU."""
    return slot.gpu.split(",") if slot.gpu is not None else []


def _use_by_others(gpu: GpuUse, running: list[tuple[Slot, int]]) -> str:
    """As `use_of`. Beside a run of ours, memory says nothing, so only processes count that can be seen from here."""
    if not any(gpu.gpu in gpus_of(slot) for slot, _ in running):
        return use_of(gpu)
    groups = {None, *(group for _, group in running)}
    others = tuple(process for process in gpu.processes if _group(process) not in groups)
    return use_of(replace(gpu, processes=others)) if others else ""


def _group(process: str) -> int | None:
    """The group of a process that nvidia-smi named; None where there is none of that number, as in a container."""
    try:
        return os.getpgid(int(process.partition(" ")[0]))
    except (ValueError, ProcessLookupError):
        return None
