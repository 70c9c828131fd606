"""What every launcher of these tests does alike."""

from __future__ import annotations

from collections.abc import Iterable

from sklab.launch.base import Job


class StandInLauncher:
    """Takes jobs and runs nothing: a subclass's `wait` ends those in `_running`."""

    kind = "fake"

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.submitted: list[Job] = []
        self._running: list[Job] = []

    def submit(self, job: Job) -> None:
        self.submitted.append(job)
        self._running.append(job)

    def adopt(self, jobs: Iterable[Job]) -> list[Job]:
        return []

    def fewer(self) -> bool:
        return False

    def drain(self) -> None: ...

    def stop(self) -> None:
        self._running = []
