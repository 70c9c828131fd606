"""The process of a run, found from outside."""

import os
from pathlib import Path

from slurm_commands import until

from sklab.store.run_folder import RunFolder


def worker_in(folder: Path) -> int:
    """The process that holds the lock of a run's folder."""
    inode = str((folder / ".lock").stat().st_ino)
    locks = (line.split() for line in Path("/proc/locks").read_text().splitlines())
    return next(int(lock[4]) for lock in locks if lock[1] == "FLOCK" and lock[5].endswith(f":{inode}"))


def hang(run: RunFolder) -> None:
    """Make the run that starts here hang at its next epoch: it opens a pipe for its metrics that nobody reads. A
    process that is stopped would not count as one that hangs."""
    until(run.metrics_file.exists)
    run.metrics_file.unlink()
    os.mkfifo(run.metrics_file)
