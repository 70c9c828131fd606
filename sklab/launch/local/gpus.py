"""Which GPUs a command takes: those that it names, else those that nobody uses; and who has begun to use them since."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from sklab.errors import SklabError
from sklab.launch.slots import Gpus, Slot, usable
from sklab.system.nvidia import GpuUse, look_at_gpus, see_use

_IDLE_MB = 1000.0  # what drivers and a desktop may hold of a GPU that nobody computes on
_EVERY = 10.0  # seconds between two looks, each of which costs two starts of nvidia-smi
_AGAIN = 2.0  # seconds from a look that finds a new user to the one that believes it: ours may not be all gone yet
Running = Iterable[tuple[Slot, int]]  # where each of our runs is, and its process group


def choose_gpus(named: str | None, tell: Callable[[str], None]) -> Gpus:
    """Index and name of the GPUs to be used; none where the machine has none.

    `named` (as in `--gpus 0,1`) chooses among the visible ones. Otherwise those that somebody computes on are left out.
    Use by others is printed. Raises SklabError for a GPU that is not there, when all are used, and as `usable` does.
    """
    seen = see_use()
    there = usable(seen, tell)
    if named is None and any(map(use_of, there)):  # perhaps only by what the last command has left
        time.sleep(_AGAIN)
        there = see_use().gpus or there
    chosen = there if named is None else _named(named, there, seen.fault)
    used = {gpu.gpu: use for gpu in chosen if (use := use_of(gpu))}
    free = [gpu for gpu in chosen if gpu.gpu not in used]
    if used and named is None and not free:
        _refuse(used)
    for gpu, use in used.items():
        every = ",".join(each.gpu for each in there)
        how = f"left out (--gpus {every} takes it all the same)" if named is None else "taken all the same"
        tell(f"GPU {gpu} is used by somebody else: {use}; {how}")
    return [(gpu.gpu, gpu.name) for gpu in (free if named is None else chosen)]


def use_of(gpu: GpuUse) -> str:
    """How much of a GPU is used and by which processes; "" when nobody computes on it."""
    if not gpu.processes and (gpu.used_mb or 0.0) < _IDLE_MB:
        return ""
    whom = f"process {', '.join(gpu.processes)}" if gpu.processes else "no process that can be seen from here"
    return f"{gigabytes(gpu.used_mb)} of {gigabytes(gpu.total_mb)} GB, {whom}"


def gigabytes(megabytes: float | None) -> str:
    """10^6 bytes in 10^9, or "?"."""
    return "?" if megabytes is None else f"{megabytes / 1000:.1f}"


def _named(named: str, there: Sequence[GpuUse], fault: str) -> list[GpuUse]:
    by_name = {gpu.gpu: gpu for gpu in there}
    entries = [entry.strip() for entry in named.split(",")]
    unknown = [entry for entry in entries if entry not in by_name]
    if unknown or len(set(entries)) < len(entries):
        known = ", ".join(f"{gpu.gpu} ({gpu.name})" for gpu in there)
        what = f"allowed: each once of {known}" if there else f"there is no GPU here: {fault}"
        raise SklabError(f"--gpus: found {named}; {what}")
    return [by_name[entry] for entry in entries]


def _refuse(used: dict[str, str]) -> None:
    told = "; ".join(f"GPU {gpu}: {use}" for gpu, use in used.items())
    remedy = f"wait, or take one all the same, for example --gpus {next(iter(used))}"
    raise SklabError(f"every GPU is used by somebody else ({told}); {remedy}")


class OtherUsers:
    """Who else uses the GPUs. It is asked when a slot becomes free and as long as it is `watching`; it prints changes.

    A run that ends may leave processes that die a moment later and hold its GPU until then. So a new user is believed
    when a second look finds him too; until then nothing starts there.

    used  the GPUs that somebody else uses, as two looks have shown
    """

    def __init__(
        self,
        tell: Callable[[str], None],
        look: Callable[[], tuple[GpuUse, ...]] = look_at_gpus,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.used: frozenset[str] = frozenset()
        self._unsure: frozenset[str] = frozenset()  # used, as the last look alone has shown
        self._tell, self._see, self._clock, self._last = tell, look, clock, clock()

    def look(self, running: Running, slots: tuple[Slot, ...]) -> None:
        """Look at the GPUs of `slots` again, unless the last look is recent."""
        if self._clock() < self._last + (_AGAIN if self._unsure else _EVERY):
            return
        self._last, runs = self._clock(), list(running)
        ours = {gpu for slot in slots for gpu in gpus_of(slot)}
        uses = {gpu.gpu: _use_by_others(gpu, runs) for gpu in self._see() if gpu.gpu in ours}
        seen = frozenset(gpu for gpu, use in uses.items() if use)
        believed = seen & (self.used | self._unsure)
        self._tell_changes(uses, believed)
        self.used, self._unsure = believed, seen - believed

    @property
    def watching(self) -> bool:
        """Whether it is to be asked again soon."""
        return bool(self.used or self._unsure)

    def usable(self, slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
        """The slots on GPUs that nobody else uses; without any, the slots of one GPU, so that the study goes on."""
        free = tuple(slot for slot in slots if (self.used | self._unsure).isdisjoint(gpus_of(slot)))
        return free or tuple(slot for slot in slots if slot.gpu == slots[0].gpu)

    def _tell_changes(self, uses: dict[str, str], believed: frozenset[str]) -> None:
        for gpu in sorted(believed - self.used):
            told = f"GPU {gpu} is used by somebody else now: {uses[gpu]}"
            self._tell(f"{told}; no more runs go there while another GPU is free")
        for gpu in sorted((self.used - believed) & uses.keys()):
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
