"""What a Slurm job does: it keeps watch over the run's process, and passes on what Slurm asks of it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from pydantic_core import from_json

from sklab.errors import SklabError
from sklab.files import content, write_whole
from sklab.launch.base import Job
from sklab.launch.slots import Slot
from sklab.launch.watched import end_group, wait_for
from sklab.launch.worker import work  # imports torch in the child only
from sklab.machine import cpu_name, find_gpus
from sklab.run_folder import RunFolder

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission


class SlurmTask:
    """Called by submitit in the job: returns the exit code of the run's process and whether it hung, for the runner.

    gpus         how many the run was given
    grace        seconds that the process has to end by itself before the time limit
    stale_after  seconds without a step after which the process is ended; 0: it never is
    """

    def __init__(self, gpus: int, grace: float, stale_after: float) -> None:
        self._gpus, self._grace, self._stale_after = gpus, grace, stale_after
        self._process: SpawnProcess | None = None

    def __call__(self, job: Job) -> tuple[int, bool]:
        if not _is_for_us(job.folder):
            return 0, False
        self._process = _start(job, own_slot(self._gpus))
        signal.signal(signal.SIGTERM, self._leave)
        hung = wait_for(self._process, job.folder, self._stale_after)
        end_group(self._process)
        return cast(int, self._process.exitcode), hung

    def checkpoint(self, job: Job) -> DelayedSubmission:
        """Called by submitit shortly before the time limit: end the process; the job in the queue is to go on."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None:
            self._process.terminate()
            self._process.join(self._grace)
            end_group(self._process)
        return DelayedSubmission(SlurmTask(self._gpus, self._grace, self._stale_after), job)

    def _leave(self, *_: Any) -> NoReturn:
        """End because Slurm preempts or cancels the job: it knows which, so no result is left for the runner."""
        process = cast(SpawnProcess, self._process)
        process.terminate()
        process.join()  # Slurm's own patience (KillWait) ends this
        end_group(process)
        sys.exit(128 + signal.SIGTERM)


def read_job(folder: Path) -> str | None:
    """The number of the Slurm job that works on `folder` or last did; None when no whole one is written there."""
    try:
        return str(from_json(content(RunFolder(folder).job_file))["slurm"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_job(folder: Path, number: str) -> None:
    """Write down which Slurm job works on `folder`."""
    write_whole(RunFolder(folder).job_file, json.dumps({"slurm": number}))


def own_slot(gpus: int) -> Slot:
    """What Slurm gave this job. Raises SklabError when it should be GPUs and there are none."""
    threads = int(os.environ.get("SLURM_CPUS_PER_TASK", "0")) or len(os.sched_getaffinity(0))
    if not gpus:
        return Slot(None, cpu_name(), threads)
    found = find_gpus()
    if not found:
        raise SklabError("this job was to have GPUs and nvidia-smi shows none; ask for another partition")
    return Slot(",".join(index for index, _ in found), found[0][1], threads)


def _is_for_us(folder: Path) -> bool:
    """Whether this job is the run's: a runner that died between sbatch and its note leaves one that nobody knows."""
    from submitit import JobEnvironment

    noted, own = read_job(folder), JobEnvironment().job_id
    if noted is None:
        write_job(folder, own)
    return noted in (None, own)


def _start(job: Job, slot: Slot) -> SpawnProcess:
    """Start the run in a fresh interpreter, deaf to the signal that tells this process of the time limit.

    Where Slurm tracks processes by cgroup the signal reaches all of them, and would end the run at once.
    """
    process = multiprocessing.get_context("spawn").Process(target=work, args=(job, slot))
    before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    process.start()
    signal.signal(signal.SIGUSR2, before)
    return process
