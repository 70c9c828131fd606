"""What an earlier runner has left in a study: a job that Slurm took."""

from __future__ import annotations

from pathlib import Path

from sklab.launch.base import Job
from sklab.launch.slurm.job import Note, read_note, write_note


def left_job(folder: Path) -> Job:
    (folder / "run").mkdir()
    write_note(folder / "run", Note(slurm="7"))
    return Job("train", folder / "run")


def number_in(folder: Path) -> str:
    note = read_note(folder)
    assert note is not None
    return note.slurm
