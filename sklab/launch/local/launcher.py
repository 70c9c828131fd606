"""Runs on this machine: one process per slot, or one for all slots of a GPU."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from multiprocessing.connection import wait as wait_for
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import NamedTuple, cast

from sklab.launch.base import Ended, Job
from sklab.launch.fork.spare import MultiRunProcess, SpareProcess, exit_code
from sklab.launch.health import Health
from sklab.launch.local.gpus import OtherUsers
from sklab.launch.local.packing import Packing
from sklab.launch.slots import Slot, halved, next_slot, shared, without_one
from sklab.launch.watchdog import STALE_AFTER, Watchdog
from sklab.system.processes import end_at_once, start_time


class Running(NamedTuple):
    """A job that runs: in which process, which began at `started`, and in which slot."""

    job: Job
    slot: Slot
    process: ForkServerProcess
    started: int | None


class LocalLauncher:
    """At most one run per slot at a time, each a process group of its own that dies with this process.

    One that makes no step for `stale_after` seconds (see Watchdog) is ended; 0: none is. With `packing`, the slots (one
    per GPU) are shared by as many runs as it finds. With `other_users`, nothing more is started on a GPU
    that somebody else has begun to use, or that is sick (see Health). The slot of a run that even SIGKILL does not end
    is given up. With `abreast`, the runs on a GPU are trained in turn by one process; those that were there when it
    died are trained alone from then on.
    """

    def __init__(
        self,
        slots: tuple[Slot, ...],
        stale_after: float = STALE_AFTER,
        packing: Packing | None = None,
        other_users: OtherUsers | None = None,
        *,
        abreast: bool = False,
    ) -> None:
        self.kind = slots[0].name
        self._alone = slots
        self._slots = shared(slots, packing.count) if packing else slots
        self._watchdog = Watchdog(stale_after) if stale_after else None
        self._packing, self._other_users, self._health = packing, other_users, Health("GPU")
        self._spare: SpareProcess | None = None
        self._abreast, self._multirun = abreast, dict[str | None, MultiRunProcess]()
        self._singly: set[Path] = set()
        self._running: dict[Path, Running] = {}

    @property
    def capacity(self) -> int:
        usable = {slot.gpu for slot in self._usable}
        return len(self._usable) + sum(running.slot.gpu not in usable for running in self._running.values())

    @property
    def processes(self) -> list[ForkServerProcess]:
        """The processes in which jobs run, each once."""
        return list({id(running.process): running.process for running in self._running.values()}.values())

    def submit(self, job: Job) -> None:
        taken = (running.slot for running in self._running.values())
        slot = next_slot(self._usable, taken, self._health.avoided_by(job.folder))
        process = self._begin_in_turn(job, slot) if self._goes_abreast(job) else self._begin(job, slot)
        self._running[job.folder] = Running(job, slot, process, start_time(_pid(process)))

    def wait(self, timeout: float) -> list[Ended]:
        told = {multirun.ends: multirun for multirun in self._multirun.values()}
        sentinels = {process.sentinel: process for process in self.processes}
        ready = wait_for([*told, *sentinels], timeout)
        ended = [each for multirun in told.values() for each in self._told(multirun)]
        ended += [each for one in ready if one in sentinels for each in self._reap(sentinels[one])]
        self._multirun = {gpu: multirun for gpu, multirun in self._multirun.items() if multirun.process.is_alive()}
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
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
                os.kill(_pid(process), signal.SIGTERM)

    def stop(self) -> None:
        for process in self.processes:  # all at once, before any is waited for
            self._kill(process)
        for process in self.processes:
            self._end(process)
        for multirun in self._multirun.values():  # without a run
            end_at_once(multirun.process)
        self._multirun.clear()
        if self._spare:
            self._spare.end()
            self._spare = None

    def _begin(self, job: Job, slot: Slot) -> ForkServerProcess:
        spare = self._spare if self._spare and self._spare.is_alive else SpareProcess()
        process, self._spare = spare.do(job, slot), SpareProcess()
        return process

    def _goes_abreast(self, job: Job) -> bool:
        return self._abreast and job.task == "train" and job.folder not in self._singly

    def _begin_in_turn(self, job: Job, slot: Slot) -> ForkServerProcess:
        multirun = self._multirun.get(slot.gpu)
        if multirun is None or not multirun.process.is_alive():
            multirun = self._multirun[slot.gpu] = MultiRunProcess(slot)
        multirun.train(job)
        return multirun.process

    def _told(self, multirun: MultiRunProcess) -> list[Ended]:
        """The ends of runs whose process goes on."""
        ended = multirun.ended()
        return [Ended(self._forget(self._running[folder]).job, exitcode) for folder, exitcode in ended]

    def _pack(self, ended: list[Ended]) -> None:
        """Share the slots anew where the number of runs on each GPU changes; what runs already goes on."""
        if self._packing is None:
            return
        running = {folder: running.slot for folder, running in self._running.items() if running.job.task == "train"}
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
            running = ((each.slot, _pid(each.process)) for each in self._running.values())
            self._other_users.look(running, self._slots)

    def _end_hung(self) -> list[Ended]:
        """End the processes none of whose runs makes a step."""
        pids = {folder: _pid(running.process) for folder, running in self._running.items()}
        hung = self._watchdog.hung(pids.items()) if self._watchdog else []
        going = {pid for folder, pid in pids.items() if folder not in hung}
        over = [process for process in self.processes if process.pid not in going]
        return [replace(each, hung=True) for process in over for each in self._end(process)]

    def _end(self, process: ForkServerProcess) -> list[Ended]:
        self._kill(process)
        return self._reap(process) if end_at_once(process) else self._leave(process)

    def _kill(self, process: ForkServerProcess) -> None:
        for running in self._in(process)[:1]:
            _end_group(process, running.started)

    def _reap(self, process: ForkServerProcess) -> list[Ended]:
        """The ends of the jobs whose process has ended; whoever died beside others is trained alone next time."""
        process.join()
        ended = [self._forget(running) for running in self._in(process)]
        for running in ended[:1]:  # whatever the run left behind, and a run whose server died before it
            _end_group(process, running.started)
        if len(ended) > 1:
            self._singly |= {running.job.folder for running in ended}
        return [Ended(running.job, exit_code(process), beside=len(ended) - 1) for running in ended]

    def _leave(self, process: ForkServerProcess) -> list[Ended]:
        """Give up the slots of runs that do not end: they may hold the memory of a GPU, or a core, for good."""
        left = [self._forget(running) for running in self._in(process)]
        for running in left:
            self._slots, self._packing = without_one(self._slots, running.slot.gpu), None
        return [Ended(running.job, exit_code(process), left=process.pid) for running in left]

    def _in(self, process: ForkServerProcess) -> list[Running]:
        return [running for running in self._running.values() if running.process is process]

    def _forget(self, running: Running) -> Running:
        """It has ended."""
        if running.slot.gpu is not None:
            self._health.ended(running.job.folder, running.slot.gpu)
        return self._running.pop(running.job.folder)


def _pid(process: ForkServerProcess) -> int:
    """Of a process that was started."""
    return cast(int, process.pid)


def _end_group(process: ForkServerProcess, started: int | None) -> None:
    """End the process and its group, unless its number has gone to another process, which `started` later."""
    process.kill()  # by itself first: it may be too young to have a group
    if start_time(_pid(process)) not in (None, started):
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(_pid(process), signal.SIGKILL)
