"""What a Slurm job executes: it keeps watch over the run's process, and passes on what Slurm asks of it.

The runner and a job write things down for each other: data, and never a program.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import subprocess
import sys
from contextlib import suppress
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, NoReturn, cast, get_args

from pydantic import Field, ValidationError

from sklab.errors import SklabError
from sklab.launch.base import Job, Task
from sklab.launch.slots import Slot, given_slot
from sklab.launch.watchdog import end_group, wait_for
from sklab.launch.worker import begin, work  # imports torch in the child only
from sklab.spec.values import Value
from sklab.store.files import content, read_kept, write_whole
from sklab.store.run_folder import RunFolder
from sklab.system.safe_path import program, protect

_KILLED = 5.0  # seconds that a run which has used up its grace has to end once it is killed: the job has to go back
MOST_TIME_LIMITS = 20  # times a run may reach its time limit before it counts as failed


def arguments(files: Path, handed_over: str, gpus: int, grace: float, stale_after: float) -> list[str]:
    """Python's arguments before the jobs, which are `task:folder` each; `main` explains them."""
    return ["-m", "sklab.launch.slurm.job", str(files), handed_over, str(gpus), str(grace), str(stale_after)]


def main() -> None:
    """Do the job that has this task's number in its array.

    files        the folder where the job writes how it ended
    handed_over  the call of sbatch that this job is from
    gpus         how many a run was given
    grace        seconds that a run's process has to end by itself before the time limit
    stale_after  seconds without a step after which it is ended; 0: it never is
    """
    parser = argparse.ArgumentParser()
    for name, kind in {"files": Path, "handed_over": str, "gpus": int, "grace": float, "stale_after": float}.items():
        parser.add_argument(name, type=kind)
    parser.add_argument("jobs", nargs="+")
    given = parser.parse_args()
    task, _, folder = given.jobs[int(os.environ["SLURM_ARRAY_TASK_ID"])].partition(":")
    assert task in get_args(Task)
    watched = Watched(given.gpus, given.grace, given.stale_after)
    _do(watched, Job(cast(Task, task), Path(folder)), given.files, given.handed_over)


def _do(watched: Watched, job: Job, files: Path, handed_over: str) -> None:
    number = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    note = read_note(job.folder)
    if note is None or note.handed_over != handed_over:
        return  # it was handed over again, by a runner that had not heard that Slurm took it
    write_note(job.folder, note := note.model_copy(update={"slurm": number}))

    def go_back(*_: Any) -> NoReturn:
        watched.end()
        _requeue(job, note, files)

    signal.signal(signal.SIGUSR2, go_back)
    try:
        end = watched.do(job)
    except SklabError as error:  # the GPUs that were asked for are not there
        end = _refused(job, error)
    _tell(files, number, end)


def _refused(job: Job, error: SklabError) -> End:
    """The end of a job that could not start its run, and says why in the run's log."""
    if begin(job):
        with RunFolder(job.folder).log_file.open("a", encoding="utf-8") as log:
            log.write(f"{error}\n")
    return End(exitcode=1)


def _requeue(job: Job, note: Note, files: Path) -> NoReturn:
    """End because the time limit is near: the run is to go on when it is this job's turn again."""
    reached = note.time_limits + 1
    write_note(job.folder, note.model_copy(update={"time_limits": reached}))
    if reached > MOST_TIME_LIMITS:
        _tell(files, note.slurm, End(exitcode=1))
        sys.exit(f"sklab: {job.folder} has reached its time limit {reached} times; give its runs more time")
    subprocess.run([program("scontrol"), "requeue", note.slurm], timeout=60, check=True)
    sys.exit(1)


def _tell(files: Path, number: str, end: End) -> None:
    node = os.environ.get("SLURMD_NODENAME", "")
    write_whole(end_file(files, number), end.model_copy(update={"node": node}).model_dump_json())


class Watched:
    """The process of a run, in a job; the arguments are those of `main`."""

    def __init__(self, gpus: int, grace: float, stale_after: float) -> None:
        self._gpus, self._grace, self._stale_after = gpus, grace, stale_after
        self._process: SpawnProcess | None = None

    def do(self, job: Job) -> End:
        """Start it, and wait until it ends or hangs."""
        self._process = _start(job, own_slot(self._gpus))
        signal.signal(signal.SIGTERM, self._leave)
        hung = wait_for(self._process, job.folder, self._stale_after)
        end_group(self._process)
        exitcode = self._process.exitcode
        return End(exitcode=-signal.SIGKILL if exitcode is None else exitcode, hung=hung)

    def end(self) -> None:
        """Ask it to end, and see that it has."""
        if self._process is not None:
            self._process.terminate()
            self._process.join(self._grace)
            end_group(self._process, _KILLED)

    def _leave(self, *_: Any) -> NoReturn:
        """End because Slurm preempts or cancels the job. Slurm knows which, so nothing is reported to the runner."""
        process = cast(SpawnProcess, self._process)
        process.terminate()
        process.join()  # Slurm's own patience (KillWait) ends this
        end_group(process)
        sys.exit(128 + signal.SIGTERM)


def own_slot(gpus: int) -> Slot:
    """The slot that Slurm gave this job. Raises SklabError when it should have GPUs that can't be used."""
    threads = int(os.environ.get("SLURM_CPUS_PER_TASK", "0")) or len(os.sched_getaffinity(0))
    return given_slot(gpus, threads)


def _start(job: Job, slot: Slot) -> SpawnProcess:
    """Start the run in a fresh interpreter, deaf to the signal that tells this process of the time limit.

    Where Slurm tracks processes by cgroup the signal reaches all of them, and would end the run at once.
    """
    protect()
    process = multiprocessing.get_context("spawn").Process(target=work, args=(job, slot))
    before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    process.start()
    signal.signal(signal.SIGUSR2, before)
    return process


class Note(Value):
    """`job.json`: which Slurm job works on a folder or last did.

    slurm        its number; "" until Slurm has given one
    handed_over  a name of the call of sbatch that the job is from: another job gives way. "" of sklab 0.1.0
    time_limits  how often the job has reached its time limit
    """

    slurm: str = ""
    handed_over: str = ""
    time_limits: int = Field(default=0, ge=0)


class End(Value):
    """`<number>.json` below `.slurm`: how the run's process ended in that job, as in `Ended`, and on which node."""

    exitcode: int
    hung: bool = False
    node: str = ""


def read_note(folder: Path) -> Note | None:
    """The note in `folder`; None when no whole one is there."""
    refresh_listing(folder)
    with suppress(OSError, ValidationError):
        return Note.model_validate_json(content(RunFolder(folder).job_file))
    return None


def write_note(folder: Path, note: Note) -> None:
    """Leave `note` in `folder`."""
    write_whole(RunFolder(folder).job_file, note.model_dump_json())


def end_file(files: Path, number: str) -> Path:
    """Where job `number` says how it ended."""
    return files / f"{number}.json"


def has_ended(files: Path, number: str) -> bool:
    """Whether job `number` has left word of its end: a job that sklab 0.1.0 submitted leaves a pickle."""
    return end_file(files, number).exists() or (files / f"{number}_0_result.pkl").exists()


def read_end(files: Path, number: str) -> End:
    """How job `number` ended. A pickle is never read: the run's record says the same, in more detail."""
    return read_kept(end_file(files, number), End) or End(exitcode=1)


def refresh_listing(folder: Path) -> None:
    """Have an NFS client ask its server what lies in `folder`, as it does when a folder is opened: else names that were
    not there a minute ago are not there still."""
    with suppress(FileNotFoundError):
        os.close(os.open(folder, os.O_RDONLY))


if __name__ == "__main__":
    main()
