"""What the runner and a Slurm job write down for each other: data, and never a program."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pydantic import Field, ValidationError

from sklab.spec.values import Value
from sklab.store.files import content, read_kept, write_whole
from sklab.store.run_folder import RunFolder


class Note(Value):
    """`job.json`: which Slurm job works on a folder or last did.

    slurm        its number; "" while Slurm has not told it
    handed_over  a name of the call of sbatch that the job is from: another job gives way. "" of sklab 0.1.0
    time_limits  how often the job has reached its time limit
    """

    slurm: str = ""
    handed_over: str = ""
    time_limits: int = Field(default=0, ge=0)


class End(Value):
    """`<number>.json` below `.slurm`: how the run's process ended in that job, as in `Ended`."""

    exitcode: int
    hung: bool = False


def read_note(folder: Path) -> Note | None:
    """The note in `folder`; None when no whole one is there."""
    look_anew(folder)
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
    """How job `number` ended. A pickle is never read: the run's record says the same, and better."""
    return read_kept(end_file(files, number), End) or End(exitcode=1)


def look_anew(folder: Path) -> None:
    """Have an NFS client ask its server what lies in `folder`, as it does when a folder is opened: else names that were
    not there a minute ago are not there still."""
    with suppress(FileNotFoundError):
        os.close(os.open(folder, os.O_RDONLY))
