"""Runs on this machine: one process per slot, forked from a server process that has torch loaded already.

A fork from the preloaded server costs milliseconds where a fresh interpreter costs seconds. The server never
touches CUDA, so each run may choose its own device.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterable
from multiprocessing.connection import wait as wait_for
from multiprocessing.context import ForkServerProcess
from typing import cast

from sklab.launch.base import Ended, Job
from sklab.launch.slots import Slot
from sklab.launch.worker import work  # imports torch in the child only

_PRELOAD = ["sklab.launch.preload"]


class LocalLauncher:
    """At most one run per slot at a time, each a process group of its own that dies with this process."""

    def __init__(self, slots: tuple[Slot, ...]) -> None:
        self.capacity = len(slots)
        self.kind = slots[0].name
        self._free = list(slots)
        self._running: dict[ForkServerProcess, tuple[Job, Slot]] = {}
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_PRELOAD)

    def submit(self, job: Job) -> None:
        slot = self._free.pop(0)
        process = self._context.Process(target=work, args=(job, slot), name=f"sklab-{job.folder.name}")
        process.start()
        self._running[process] = (job, slot)

    def wait(self, timeout: float) -> list[Ended]:
        sentinels = {process.sentinel: process for process in self._running}
        ready = wait_for(list(sentinels), timeout)
        return [self._reap(sentinels[cast(int, sentinel)]) for sentinel in ready]

    def adopt(self, jobs: Iterable[Job]) -> list[Job]:  # noqa: ARG002 - they died with their runner
        return []

    def drain(self) -> None:
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
                os.kill(cast(int, process.pid), signal.SIGTERM)

    def stop(self) -> None:
        for process in list(self._running):
            _end_group(process)
            self._reap(process)

    def _reap(self, process: ForkServerProcess) -> Ended:
        process.join()
        _end_group(process)  # whatever the run left behind, and a run whose server died before it
        job, slot = self._running.pop(process)
        self._free.append(slot)
        return Ended(job, process.exitcode if process.exitcode is not None else 255)


def _end_group(process: ForkServerProcess) -> None:
    process.kill()  # by itself first: it may be too young to have a group
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(cast(int, process.pid), signal.SIGKILL)
