"""The seam between the runner and where runs execute."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Task = Literal["train", "check", "probe"]

FOLDER_HELD = os.EX_TEMPFAIL  # exit code of a job whose folder another process holds
DEVICE_BROKEN = os.EX_SOFTWARE  # and of the process of several in which CUDA works no more, whoever broke it


@dataclass(frozen=True)
class Job:
    """A task over a folder: `train` reads its `run.json`, `check` its `check.json`, `probe` its `probe.json`; nothing
    else crosses over."""

    task: Task
    folder: Path


@dataclass(frozen=True)
class Ended:
    """A job's end.

    exitcode  of its process: 0, or minus the number of the signal that ended it
    hung      the launcher ended it because it made no step any more
    left      the number of its process where even SIGKILL did not end that, and its slot is given up
    beside    the other jobs whose process it was, and that ended with it
    """

    job: Job
    exitcode: int
    hung: bool = False
    left: int | None = None
    beside: int = 0


class Launcher(Protocol):
    """Executes jobs, at most `capacity` at a time, on devices of one `kind`; knows nothing of studies or metrics. The
    capacity may change, and is 0 once every device is given up.

    submit  start a job; only while fewer than `capacity` run
    wait    block until a job ends or `timeout` seconds have passed; the jobs that ended since the last call
    adopt   those of `jobs` that an earlier runner submitted and that still run, or whose end was never reported; they
            now count as submitted here. None where jobs die with their runner
    judge   hear of a job whose end was told that its device is `sick` and made it fail, or that it did its work there.
            The message about a device that gets no more jobs, or ""
    fewer   let fewer jobs share a device's memory from now on; False where each has one to itself already
    drain   ask every running job to end soon, with a checkpoint of what it was doing; `wait` reports each end. Where
            jobs go on without their runner, it raises KeyboardInterrupt: there is nothing to wait for
    stop    end every running job with its whole process group, and release everything; `wait` then has no more.
            Jobs of a cluster go on, to be adopted
    """

    kind: str

    @property
    def capacity(self) -> int: ...

    def submit(self, job: Job) -> None: ...

    def wait(self, timeout: float) -> list[Ended]: ...

    def adopt(self, jobs: Iterable[Job]) -> list[Job]: ...

    def judge(self, job: Job, *, sick: bool) -> str: ...

    def fewer(self) -> bool: ...

    def drain(self) -> None: ...

    def stop(self) -> None: ...
