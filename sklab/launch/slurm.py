"""Runs as jobs of a Slurm cluster, through submitit. They outlive the runner, and a later one takes them over.

A job tells its end by a file that submitit writes. One that was killed tells nothing: it counts as ended only when
several answers of Slurm in a row do not know it as pending or running and nobody holds the lock of its folder.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from sklab.errors import SklabError
from sklab.launch.base import Ended, Job
from sklab.launch.slurm_task import SlurmTask, read_job, write_job
from sklab.launch.watchdog import STALE_AFTER
from sklab.locks import is_held
from sklab.run_folder import RunFolder
from sklab.safe_path import program
from sklab.spec.slurm import SlurmSpec

_LOOK_EVERY = 0.2  # seconds between two looks for files of jobs that ended
_ASK_EVERY = 5.0  # seconds between two questions to Slurm, for everything at once
_SEND_AGAIN = 30.0  # seconds between two tries to hand jobs to a Slurm that does not answer
_ASKS = 3  # answers in a row without a job before it may count as gone
_MOST_TIME_LIMITS = 20  # times a run may reach its time limit before it counts as failed
_WARNING = 90  # seconds before the time limit at which a job is told of it; less where that is short
_LEFT_TO_REQUEUE = 10  # seconds of these that are kept for putting the job back in the queue


class SlurmLauncher:
    """At most `parallel` jobs at a time; those submitted together are the tasks of one array.

    `folder` is the study's, on a file system that the nodes share; submitit's files lie under its `.slurm`.
    A run that makes no step for `stale_after` seconds (see Watchdog) is ended on its node; 0: none is.
    """

    def __init__(
        self, spec: SlurmSpec, folder: Path, study: str, devices: int = 1, stale_after: float = STALE_AFTER
    ) -> None:
        _ensure_enough(spec, devices)
        self.capacity = spec.parallel
        self.kind = f"slurm {spec.partition or 'default'} gpus={spec.gpus}"
        self.job_name = f"sklab-{study}"
        self._submitit = _submitit()
        self._files = folder.absolute() / ".slurm"
        warning = min(_WARNING, 30 * spec.time)
        self._task = SlurmTask(spec.gpus, warning - _LEFT_TO_REQUEUE, stale_after)
        self._executor = _executor(self._submitit, self._files, spec, self.job_name, warning)
        self._waiting: list[Job] = []
        self._running: dict[str, Job] = {}
        self._silences: dict[str, int] = {}
        self._asked = self._failed = float("-inf")
        self._answers = False
        self._refusals = 0

    def submit(self, job: Job) -> None:
        RunFolder(job.folder).job_file.unlink(missing_ok=True)
        self._waiting.append(job)

    def wait(self, timeout: float) -> list[Ended]:
        self._send()
        deadline = time.monotonic() + timeout
        while not (ended := self._ended()) and time.monotonic() < deadline:
            time.sleep(min(_LOOK_EVERY, timeout))
        return ended

    def adopt(self, jobs: Iterable[Job]) -> list[Job]:
        self._running |= {number: job for job in jobs if (number := read_job(job.folder)) is not None}
        self._asked = float("-inf")
        self._ask()
        while any(0 < times < _ASKS for times in self._silences.values()):
            time.sleep(_LOOK_EVERY)
            self._ask()
        for number in self._gone():
            self._forget(number)
        return list(self._running.values())

    def fewer(self) -> bool:
        return False

    def drain(self) -> None:
        raise KeyboardInterrupt  # jobs go on without their runner, and a later one adopts them

    def stop(self) -> None:
        self._waiting, self._running, self._silences = [], {}, {}

    def _send(self) -> None:
        """Hand over what was submitted since the last time. Raises SklabError with sbatch's words if it refuses."""
        if not self._waiting or time.monotonic() < self._failed + _SEND_AGAIN:
            return
        jobs, self._waiting = self._waiting, []
        utils = self._submitit.core.utils
        try:
            sent = self._executor.map_array(self._task, [Job(job.task, job.folder.absolute()) for job in jobs])
        except (utils.FailedJobError, utils.FailedSubmissionError) as error:
            self._wait_for_slurm(jobs, str(error).strip())
            return
        self._answers, self._refusals = True, 0
        for job, handle in zip(jobs, sent, strict=True):
            write_job(job.folder, handle.job_id)
            self._running[handle.job_id] = job

    def _wait_for_slurm(self, jobs: list[Job], why: str) -> None:
        """A Slurm that took jobs before is restarted, perhaps, or has too much to do: these are handed over later. What
        it took all the same ends by itself, for submitit has left it no task.

        Raises SklabError for a Slurm that was never there, or refuses twice in a row though it answers.
        """
        self._refusals = self._refusals + 1 if _queue(self.job_name) is not None else 0
        if not self._answers or self._refusals > 1:
            raise SklabError(f"Slurm does not take the jobs: {why}")
        self._waiting, self._failed = jobs, time.monotonic()
        warnings.warn(f"Slurm does not take jobs now; they are handed over later ({why})", stacklevel=2)

    def _ended(self) -> list[Ended]:
        """The jobs that ended, and from now on are none of ours."""
        _look_anew(self._files)
        ended = {number: self._outcome(number) for number in self._running if self._result(number).exists()}
        self._ask()
        ended |= dict.fromkeys(self._gone(), (-signal.SIGKILL, False))
        return [Ended(self._forget(number), exitcode, hung) for number, (exitcode, hung) in ended.items()]

    def _gone(self) -> list[str]:
        """The jobs that were killed, as far as can be told."""
        silent = [number for number, times in self._silences.items() if times >= _ASKS]
        locks = {number: RunFolder(self._running[number].folder).lock_file for number in silent}
        return [number for number, lock in locks.items() if not (self._result(number).exists() or is_held(lock))]

    def _forget(self, number: str) -> Job:
        """Let go of a job, in its folder as well: only of a job whose end nobody was told can a runner take over."""
        self._silences.pop(number, None)
        job = self._running.pop(number)
        _look_anew(job.folder)
        RunFolder(job.folder).job_file.unlink(missing_ok=True)
        return job

    def _ask(self) -> None:
        """Count, for every job, the answers of Slurm in a row that did not hold it; no answer says nothing."""
        if not self._running or time.monotonic() < self._asked + _ASK_EVERY:
            return
        self._asked = time.monotonic()
        known = _queue(self.job_name)
        if known is not None:
            self._answers = True
            self._silences = {
                number: 0 if number in known else self._silences.get(number, 0) + 1 for number in self._running
            }

    def _result(self, number: str) -> Path:
        file: Path = self._submitit.core.utils.JobPaths(self._files, job_id=number).result_pickle
        return file

    def _outcome(self, number: str) -> tuple[int, bool]:
        """What the run's process ended with, and whether it hung; 1 when the job failed around it, its log under
        `.slurm` tells how."""
        outcome, result = self._submitit.core.utils.pickle_load(self._result(number))
        return result if outcome == "success" else (1, False)


def _look_anew(folder: Path) -> None:
    """Have an NFS client ask its server what lies in `folder`, as it does when a folder is opened: else names that were
    not there a minute ago are not there still."""
    with suppress(FileNotFoundError):
        os.close(os.open(folder, os.O_RDONLY))


def _submitit() -> ModuleType:
    try:
        import submitit
    except ImportError as error:
        raise SklabError("--launcher with Slurm needs submitit; install it: pip install 'sklab[slurm]'") from error
    module: ModuleType = submitit
    return module


def _executor(submitit: ModuleType, files: Path, spec: SlurmSpec, name: str, warning: int) -> Any:
    try:
        executor = submitit.SlurmExecutor(files, max_num_timeout=_MOST_TIME_LIMITS)
    except RuntimeError as error:
        raise SklabError("there is no Slurm here (no srun on the PATH); start the sweep on a login node") from error
    asked = {"partition": spec.partition, "gpus_per_node": spec.gpus or None, "mem": spec.memory and f"{spec.memory}GB"}
    executor.update_parameters(
        job_name=name,
        time=spec.time,
        cpus_per_task=spec.cpus,
        srun_args=[f"--cpus-per-task={spec.cpus}"],  # srun does not take it over from sbatch since Slurm 22.05
        signal_delay_s=warning,
        array_parallelism=spec.parallel,
        additional_parameters={"requeue": True, **spec.sbatch},
        **{key: value for key, value in asked.items() if value is not None},
    )
    return executor


def _ensure_enough(spec: SlurmSpec, devices: int) -> None:
    """Raise SklabError when a run of the study needs more than it is to be given."""
    given, name = (spec.gpus, "gpus") if spec.gpus else (spec.cpus, "cpus")
    if devices > given:
        raise SklabError(f"{name}: found {given}; a run of this study trains on {devices} devices (train.devices)")


def _queue(name: str) -> set[str] | None:
    """The numbers of this user's pending and running jobs of that name; None when Slurm does not answer."""
    command = ["squeue", "--me", f"--name={name}", "--noheader", "--array", "--format=%i"]
    try:
        answer = subprocess.run(
            [program(command[0]), *command[1:]], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return set(answer.stdout.split())
