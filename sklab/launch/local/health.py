"""Which GPUs runs may be given to: one that is sick fails run after run, and others are well."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from sklab.launch.slots import Slot

_RUNS = 2  # different runs in a row that failed on a GPU because of it, after which it gets no more


class Health:
    """Remembers where each job was, and what is said of its end."""

    def __init__(self) -> None:
        self._place: dict[Path, str] = {}
        self._failed: defaultdict[str, set[Path]] = defaultdict(set)
        self._given_up: set[str] = set()

    def ended(self, folder: Path, slot: Slot) -> None:
        """The job in `folder` has ended on `slot`."""
        if slot.gpu is not None:
            self._place[folder] = slot.gpu

    def judge(self, folder: Path, *, sick: bool) -> str:
        """The job that ended last in `folder` failed because of its GPUs, or it did its work there. The message about
        GPUs that are given up, else ""."""
        gpu = self._place.get(folder)
        if gpu is None or gpu in self._given_up:
            return ""
        if not sick:
            self._failed.pop(gpu, None)
            return ""
        self._failed[gpu].add(folder)
        if len(self._failed[gpu]) < _RUNS:
            return ""
        self._given_up.add(gpu)
        return f"GPU {gpu} is given up: {_RUNS} runs in a row have failed on it because of it; no more runs go there"

    def sound(self, slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
        """The slots on GPUs that are not given up."""
        return tuple(slot for slot in slots if slot.gpu not in self._given_up)

    def avoided_by(self, folder: Path) -> frozenset[str]:
        """The GPUs that the job in `folder` has failed on, which it is to get only where no other is free."""
        return frozenset(gpu for gpu, failed in self._failed.items() if folder in failed)
