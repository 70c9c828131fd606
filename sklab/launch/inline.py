"""Runs in this very process, one at a time: for tests, debuggers and machines where nothing can be forked."""

from __future__ import annotations

from collections.abc import Iterable

from sklab.launch.base import Ended, Job
from sklab.launch.slots import Slot
from sklab.launch.worker import begin, perform


class InlineLauncher:
    """`submit` returns when the run has ended. A crash of the run that is no exception is a crash of this process."""

    capacity = 1

    def __init__(self, slot: Slot) -> None:
        self.kind = slot.name
        self._slot = slot
        self._ended: list[Ended] = []

    def submit(self, job: Job) -> None:
        if begin(job):
            perform(job, self._slot)
        self._ended.append(Ended(job, 0))

    def wait(self, timeout: float) -> list[Ended]:  # noqa: ARG002 - the run has ended before anyone waits
        ended, self._ended = self._ended, []
        return ended

    def adopt(self, jobs: Iterable[Job]) -> list[Job]:  # noqa: ARG002 - they died with their process
        return []

    def judge(self, job: Job, *, sick: bool) -> str:  # noqa: ARG002 - there is one device
        return ""

    def fewer(self) -> bool:
        return False

    def drain(self) -> None:
        """Nothing runs when anyone could ask."""

    def stop(self) -> None:
        self._ended = []
