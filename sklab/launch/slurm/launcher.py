"""Runs as jobs of a Slurm cluster. They outlive the runner, and a later one takes them over.

A job tells its end by a file. One that was killed tells nothing: it counts as ended only when
several answers of Slurm in a row do not know it as pending or running and nobody holds the lock of its folder.
"""

from __future__ import annotations

import signal
import time
import uuid
import warnings
from collections.abc import Iterable
from pathlib import Path

from sklab.errors import SklabError
from sklab.launch.base import Ended, Job
from sklab.launch.health import Health
from sklab.launch.slots import ensure_enough
from sklab.launch.slurm.job import End, Note, arguments, has_ended, read_end, read_note, refresh_listing, write_note
from sklab.launch.slurm.sbatch import RefusedError, ensure_there, hand_over, queue
from sklab.launch.watchdog import STALE_AFTER
from sklab.spec.study.launchers import SlurmSpec
from sklab.store.run_folder import RunFolder
from sklab.store.states import is_held

_LOOK_EVERY = 0.2  # seconds between two looks for files of jobs that ended
_ASK_EVERY = 5.0  # seconds between two questions to Slurm, for everything at once
_SEND_AGAIN = 30.0  # seconds between two tries to hand jobs to a Slurm that does not answer
_ASKS = 3  # answers in a row without a job before it may count as gone
_WARNING = 90  # seconds before the time limit at which a job is warned; less if the time limit is short
_LEFT_TO_REQUEUE = 10  # seconds of these that are kept for putting the job back in the queue


class SlurmLauncher:
    """At most `parallel` jobs at a time; those submitted together are the tasks of one array.

    `folder` is the study's, on a file system that the nodes share; what the jobs leave lies under its `.slurm`.
    A run that makes no step for `stale_after` seconds (see Watchdog) is ended on its node; 0: none is. A node that is
    sick (see Health) gets no more jobs: it would be free again at once, and take all that are left.
    """

    def __init__(
        self, spec: SlurmSpec, folder: Path, study: str, devices: int = 1, stale_after: float = STALE_AFTER
    ) -> None:
        name, given = ("gpus", spec.gpus) if spec.gpus else ("cpus", spec.cpus)
        ensure_enough(devices, name, given)
        self.capacity = spec.parallel
        self.kind = f"slurm {spec.partition or 'default'} gpus={spec.gpus}"
        self.job_name = f"sklab-{study}"
        ensure_there()
        self._spec, self._stale_after = spec, stale_after
        self._files = folder.absolute() / ".slurm"
        self._waiting: list[Job] = []
        self._running: dict[str, Job] = {}
        self._silences: dict[str, int] = {}
        self._asked = self._failed = float("-inf")
        self._answers = False
        self._refusals = 0
        self._health = Health("node")

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
        notes = {job: read_note(job.folder) for job in jobs}
        self._running |= {note.slurm: job for job, note in notes.items() if note and note.slurm}
        self._asked = float("-inf")
        self._ask()
        while any(0 < times < _ASKS for times in self._silences.values()):
            time.sleep(_LOOK_EVERY)
            self._ask()
        for number in self._gone():
            self._forget(number)
        return list(self._running.values())

    def judge(self, job: Job, *, sick: bool) -> str:
        return self._health.judge(job.folder, sick=sick)

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
        note = Note(handed_over=uuid.uuid4().hex)
        for job in jobs:
            write_note(job.folder, note)
        try:
            array = self._hand_over(jobs, note.handed_over)
        except RefusedError as error:
            self._wait_for_slurm(jobs, str(error))
            return
        self._answers, self._refusals = True, 0
        for at, job in enumerate(jobs):
            number = f"{array}_{at}"
            write_note(job.folder, note.model_copy(update={"slurm": number}))
            self._running[number] = job

    def _hand_over(self, jobs: list[Job], handed_over: str) -> str:
        warning = min(_WARNING, 30 * self._spec.time)
        grace = warning - _LEFT_TO_REQUEUE
        command = arguments(self._files, handed_over, self._spec.gpus, grace, self._stale_after)
        tasks = [f"{job.task}:{job.folder.absolute()}" for job in jobs]
        return hand_over(self._without_sick_nodes(), self.job_name, self._files, warning, tasks, command)

    def _without_sick_nodes(self) -> SlurmSpec:
        if not self._health.given_up:
            return self._spec
        asked = self._spec.sbatch
        excluded = ",".join(filter(None, (str(asked.get("exclude", "")), *self._health.given_up)))
        return self._spec.model_copy(update={"sbatch": {**asked, "exclude": excluded}})

    def _wait_for_slurm(self, jobs: list[Job], why: str) -> None:
        """A Slurm that took jobs before is restarted, perhaps, or has too much to do: these are handed over later. What
        it took all the same gives way, for its note is gone.

        Raises SklabError for a Slurm that was never there, or refuses twice in a row though it answers.
        """
        for job in jobs:
            RunFolder(job.folder).job_file.unlink(missing_ok=True)
        self._refusals = self._refusals + 1 if queue(self.job_name) is not None else 0
        if not self._answers or self._refusals > 1:
            raise SklabError(f"Slurm does not take the jobs: {why}")
        self._waiting, self._failed = jobs, time.monotonic()
        warnings.warn(f"Slurm does not take jobs now; they are handed over later ({why})", stacklevel=2)

    def _ended(self) -> list[Ended]:
        """The jobs that ended, and from now on are none of ours."""
        refresh_listing(self._files)
        ended = {number: read_end(self._files, number) for number in self._running if has_ended(self._files, number)}
        self._ask()
        for number, end in ended.items():
            if end.node:
                self._health.ended(self._running[number].folder, end.node)
        ended |= dict.fromkeys(self._gone(), End(exitcode=-signal.SIGKILL))
        return [Ended(self._forget(number), end.exitcode, end.hung) for number, end in ended.items()]

    def _gone(self) -> list[str]:
        """The jobs that were killed, as far as Slurm's answers show."""
        silent = [number for number, times in self._silences.items() if times >= _ASKS]
        locks = {number: RunFolder(self._running[number].folder).lock_file for number in silent}
        return [number for number, lock in locks.items() if not (has_ended(self._files, number) or is_held(lock))]

    def _forget(self, number: str) -> Job:
        """Forget a job, and the note in its folder: a runner takes over only jobs whose end was not reported."""
        self._silences.pop(number, None)
        job = self._running.pop(number)
        refresh_listing(job.folder)
        RunFolder(job.folder).job_file.unlink(missing_ok=True)
        return job

    def _ask(self) -> None:
        """Count, for every job, the answers of Slurm in a row that did not hold it; no answer says nothing."""
        if not self._running or time.monotonic() < self._asked + _ASK_EVERY:
            return
        self._asked = time.monotonic()
        in_queue = queue(self.job_name)
        if in_queue is not None:
            self._answers = True
            self._silences = {
                number: 0 if number in in_queue else self._silences.get(number, 0) + 1 for number in self._running
            }
