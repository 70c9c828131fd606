"""What the jobs execute that sklab 0.1.0 has left in a queue, through submitit. No more are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklab.launch.base import Job
from sklab.launch.slurm.job import Note, Watched, read_note, write_note

if TYPE_CHECKING:
    from pathlib import Path

    from submitit.helpers import DelayedSubmission


class SlurmTask(Watched):
    """Called by submitit: returns the exit code of the run's process and whether it hung."""

    def __call__(self, job: Job) -> tuple[int, bool]:
        if not _is_for_us(job.folder):
            return 0, False
        end = self.do(job)
        return end.exitcode, end.hung

    def checkpoint(self, job: Job) -> DelayedSubmission:
        """Called by submitit shortly before the time limit: end the process; the job in the queue is to go on."""
        from submitit.helpers import DelayedSubmission

        self.end()
        return DelayedSubmission(SlurmTask(self._gpus, self._grace, self._stale_after), job)


def _is_for_us(folder: Path) -> bool:
    """Whether this job is the run's: a runner that died between sbatch and its note leaves one that nobody knows."""
    from submitit import JobEnvironment

    note, own = read_note(folder), JobEnvironment().job_id
    if note is None:
        write_note(folder, Note(slurm=own))
    return note is None or note.slurm == own
