"""What a Ray task does on its node: the run in a process of its own, in the runner's folder or in a copy of it."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from multiprocessing.util import get_temp_dir
from pathlib import Path
from tempfile import TemporaryDirectory

from sklab.launch.base import Job
from sklab.launch.fork.spare import SpareProcess, exit_code
from sklab.launch.slots import Slot, given_slot
from sklab.launch.watchdog import end_group, wait_for
from sklab.store.files import write_whole

Files = dict[str, bytes]  # what lies in a folder, by the path within it

_MARK = ".ray"
_LAST = "record.json"  # with it a run is over


def run_on_node(
    job: Job, mark: str, files: Files, gpus: float, cpus: int, stale_after: float
) -> tuple[int, bool, Files | None]:
    """Do `job`: the exit code of its process, whether it hung and, where the node does not see the runner's folder, the
    files it left.

    mark         what the runner wrote into the folder: a node that reads it there sees the same folder
    files        the folder's content, for a node that does not
    stale_after  seconds without a step after which the process is ended; 0: it never is
    """
    slot = given_slot(gpus, cpus)
    if sees(job.folder, mark):
        return *_run(job, slot, stale_after), None
    with TemporaryDirectory(dir=get_temp_dir()) as place:  # which goes when this process is killed, see `apart`
        folder = Path(place) / job.folder.name
        write_files(folder, files)
        return *_run(Job(job.task, folder), slot, stale_after), read_files(folder)


def leave_mark(folder: Path, mark: str) -> None:
    """Write `mark` where a node that shares the disk finds it."""
    write_whole(folder / _MARK, mark)


def read_files(folder: Path) -> Files:
    """The content of the files in `folder`, without locks, marks and half-written files, whose names begin with a
    dot."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in _files(folder)}


def write_files(folder: Path, files: Files, gone: Iterable[str] = ()) -> None:
    """Bring `files` into `folder`, each whole, the record last; those called `gone` go first."""
    for name in gone:
        (folder / name).unlink(missing_ok=True)
    for name in sorted(files, key=lambda name: name == _LAST):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.read_bytes() != files[name]:
            write_whole(file, files[name])


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("[!.]*") if file.is_file() and not file.is_symlink())


def sees(folder: Path, mark: str) -> bool:
    """Whether this node finds `mark` in the folder, which then is the runner's."""
    try:
        return (folder / _MARK).read_text(encoding="utf-8") == mark
    except (OSError, UnicodeDecodeError):
        return False


def _run(job: Job, slot: Slot, stale_after: float) -> tuple[int, bool]:
    """Do `job` in a process that ends with this one; when Ray asks for an end, ask the process and wait for it.

    The process is forked from a server with torch loaded, which serves all tasks that Ray gives to this worker.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by a node started in a shell's background
    process = SpareProcess().do(job, slot)
    hung = False
    try:
        while process.is_alive() and not hung:
            try:
                hung = wait_for(process, job.folder, stale_after)
            except KeyboardInterrupt:
                process.terminate()
    finally:
        end_group(process)
    return exit_code(process), hung
