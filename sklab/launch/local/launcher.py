"""Runs on this machine: one process per slot."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from multiprocessing.connection import wait as wait_for
from multiprocessing.context import ForkServerProcess
from typing import cast

from sklab.launch.base import Ended, Job
from sklab.launch.fork.spare import SpareProcess, exit_code
from sklab.launch.health import Health
from sklab.launch.local.gpus import OtherUsers
from sklab.launch.local.packing import Packing
from sklab.launch.slots import Slot, halved, next_slot, shared, without_one
from sklab.launch.watchdog import STALE_AFTER, Watchdog
from sklab.system.processes import end_at_once, start_time


class LocalLauncher:
    """At most one run per slot at a time, each a process group of its own that dies with this process.

    One that makes no step for `stale_after` seconds (see Watchdog) is ended; 0: none is. With `packing`, the slots (one
    per GPU) are shared by as many runs as it finds. With `other_users`, nothing more is started on a GPU
    that somebody else has begun to use, or that is sick (see Health). The slot of a run that even SIGKILL does not end
    is given up.
    """

    def __init__(
        self,
        slots: tuple[Slot, ...],
        stale_after: float = STALE_AFTER,
        packing: Packing | None = None,
        other_users: OtherUsers | None = None,
    ) -> None:
        self.kind = slots[0].name
        self._alone = slots
        self._slots = shared(slots, packing.count) if packing else slots
        self._watchdog = Watchdog(stale_after) if stale_after else None
        self._packing, self._other_users, self._health = packing, other_users, Health("GPU")
        self._spare: SpareProcess | None = None
        self._running: dict[ForkServerProcess, tuple[Job, Slot, int | None]] = {}

    @property
    def capacity(self) -> int:
        usable = {slot.gpu for slot in self._usable}
        return len(self._usable) + sum(slot.gpu not in usable for _, slot, _ in self._running.values())

    def submit(self, job: Job) -> None:
        taken = (slot for _, slot, _ in self._running.values())
        slot = next_slot(self._usable, taken, self._health.avoided_by(job.folder))
        spare = self._spare if self._spare and self._spare.is_alive else SpareProcess()
        process, self._spare = spare.do(job, slot), SpareProcess()
        self._running[process] = (job, slot, start_time(cast(int, process.pid)))

    def wait(self, timeout: float) -> list[Ended]:
        sentinels = {process.sentinel: process for process in self._running}
        ready = wait_for(list(sentinels), timeout)
        ended = [self._reap(sentinels[cast(int, sentinel)]) for sentinel in ready]
        ended += self._end_hung()
        self._pack(ended)
        self._look_for_other_users(ended)
        return ended

    def fewer(self) -> bool:
        """Halve the runs at a time on each GPU, or on the CPU; what runs already goes on."""
        before, self._slots = self._slots, halved(self._slots)
        if self._packing:
            self._packing.limit(max(Counter(slot.gpu for slot in self._slots).values(), default=1))
        return len(self._slots) < len(before)

    def judge(self, job: Job, *, sick: bool) -> str:
        told = self._health.judge(job.folder, sick=sick)
        self._slots = self._sound(self._slots)
        return told

    def adopt(self, jobs: Iterable[Job]) -> list[Job]:  # noqa: ARG002 - they died with their runner
        return []

    def drain(self) -> None:
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
                os.kill(cast(int, process.pid), signal.SIGTERM)

    def stop(self) -> None:
        for process, (_, _, started) in self._running.items():  # all at once, before any is waited for
            _end_group(process, started)
        for process in list(self._running):
            self._end(process)
        if self._spare:
            self._spare.end()
            self._spare = None

    def _pack(self, ended: list[Ended]) -> None:
        """Share the slots anew where the number of runs on each GPU changes; what runs already goes on."""
        if self._packing is None:
            return
        running = {job.folder: slot for job, slot, _ in self._running.values() if job.task == "train"}
        trained = [each.job.folder for each in ended if each.job.task == "train"]
        if (per_gpu := self._packing.look(running, trained, len(self._usable))) is not None:
            self._slots = shared(self._sound(self._alone), per_gpu)

    def _sound(self, slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
        """The slots on GPUs that are not given up."""
        return tuple(slot for slot in slots if slot.gpu not in self._health.given_up)

    @property
    def _usable(self) -> tuple[Slot, ...]:
        return self._other_users.usable(self._slots) if self._other_users else self._slots

    def _look_for_other_users(self, ended: list[Ended]) -> None:
        """Before a slot is refilled, and while a GPU is not ours, see who else is there."""
        if self._other_users and (ended or self._other_users.watching):
            running = ((slot, cast(int, process.pid)) for process, (_, slot, _) in self._running.items())
            self._other_users.look(running, self._slots)

    def _end_hung(self) -> list[Ended]:
        watched = {(job.folder, cast(int, process.pid)): process for process, (job, *_) in self._running.items()}
        hung = self._watchdog.hung(watched) if self._watchdog else []
        return [replace(self._end(process), hung=True) for (folder, _), process in watched.items() if folder in hung]

    def _end(self, process: ForkServerProcess) -> Ended:
        _end_group(process, self._running[process][2])
        return self._reap(process) if end_at_once(process) else self._leave(process)

    def _reap(self, process: ForkServerProcess) -> Ended:
        process.join()
        job, slot, started = self._running.pop(process)
        _end_group(process, started)  # whatever the run left behind, and a run whose server died before it
        if slot.gpu is not None:
            self._health.ended(job.folder, slot.gpu)
        return Ended(job, exit_code(process))

    def _leave(self, process: ForkServerProcess) -> Ended:
        """Give up the slot of a run that does not end: it may hold the memory of a GPU, or a core, for good."""
        job, slot, _ = self._running.pop(process)
        self._slots, self._packing = without_one(self._slots, slot.gpu), None
        return Ended(job, exit_code(process), left=process.pid)


def _end_group(process: ForkServerProcess, started: int | None) -> None:
    """End the process and its group, unless its number has gone to another process, which `started` later."""
    process.kill()  # by itself first: it may be too young to have a group
    if start_time(cast(int, process.pid)) not in (None, started):
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(cast(int, process.pid), signal.SIGKILL)
