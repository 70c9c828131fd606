"""A process that trains several runs in turn, as the one that starts it sees it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from sklab.launch.abreast import work_abreast  # imports torch in the child only
from sklab.launch.base import Job
from sklab.launch.fork.spare import forked
from sklab.launch.slots import Slot


class MultiRunProcess:
    """The runs of one process on the devices of `slot`; it dies with this process.

    process  to wait for and to end
    ends     readable when a run has ended, or the process
    """

    def __init__(self, slot: Slot) -> None:
        self.process, self.ends = forked(work_abreast, duplex=True)
        self._send(slot)

    def train(self, job: Job) -> None:
        """Have it take on the run of `job`. One that is gone already just ends."""
        self._send(job)

    def ended(self) -> list[tuple[Path, int]]:
        """The folders and exit codes of the runs that have ended since the last call."""
        told: list[tuple[Path, int]] = []
        with contextlib.suppress(EOFError, OSError):  # the process is gone
            while self.ends.poll():
                told.append(self.ends.recv())
        return told

    def _send(self, told: object) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.ends.send(told)
