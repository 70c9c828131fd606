"""Uploads what a study tracked offline, with `wandb sync`; what was uploaded before is left out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from sklab.errors import SklabError
from sklab.store.files import is_regular
from sklab.store.states import is_held
from sklab.store.study_folder import StudyFolder
from sklab.system.safe_path import protect
from sklab.tracking.mode import no_connection, require_connection

_BATCH = 200  # runs in one call: a command line has a limit
_LOOK = 0.1  # seconds between two looks at what was uploaded
_HEADER = 7  # bytes of a `.wandb` file that holds nothing
_LISTED = 5  # files in an error
# All that a run has written before it was killed is on the server then; wandb waits for more, which never comes.
_CUT_OFF = "ends with an incomplete record"
STALL = 30.0  # seconds without an uploaded run until the server is asked whether it is still there


def pending(study: StudyFolder) -> list[Path]:
    """The offline runs (their `.wandb` files) that are still to be uploaded, by path.

    A run that is being trained at this moment is left out: once uploaded, its rest never would be.
    """
    live = is_held(study.lock_file)
    return [file for file in offline(study) if not _uploaded(file) and not (live and _unfinished(file))]


def offline(study: StudyFolder) -> list[Path]:
    """The `.wandb` files of all offline runs of the study, by path; those of runs killed at their start are empty."""
    files = (file for place in ("wandb", "runs/*/wandb") for file in study.path.glob(f"{place}/offline-run-*/*.wandb"))
    return sorted(file for file in files if is_regular(file) and file.stat().st_size > _HEADER)


def exclude_offline(folder: Path) -> None:
    """Leave the offline runs in a run's `folder`, of its earlier attempts, out of every later upload: the next attempt
    has all of the curve."""
    with suppress(OSError):
        for file in folder.glob("wandb/offline-run-*/*.wandb"):
            _mark(file).touch()


def exclude_offline_summaries(study: StudyFolder) -> None:
    """Leave the study's own offline runs out of every later upload: the server has a newer summary of it."""
    for file in offline(study):
        if file.is_relative_to(study.path / "wandb"):
            _mark(file).touch()


def sync(study: StudyFolder, files: Sequence[Path]) -> Iterator[Path]:
    """Upload `files` of the study, giving each one as soon as the server has it.

    What was uploaded is marked as such beside the file, at once: after an interruption the rest is `pending`.
    Raises SklabError with the remedy when there is no key or no server (within 5 s), when the server goes away
    meanwhile, and at the end when wandb could not upload some.
    """
    if files:
        require_connection("an upload")
    refused: dict[Path, str] = {}
    for at in range(0, len(files), _BATCH):
        yield from _upload(study, files[at : at + _BATCH], refused)
    # A file that can't be read keeps wandb from uploading any of those that it was started with.
    for file in list(refused):
        yield from _upload(study, [file], refused)
    if refused:
        reasons = "".join(f"\n{file}: {reason}" for file, reason in list(refused.items())[:_LISTED])
        raise SklabError(f"W&B: {len(refused)} of {len(files)} runs could not be uploaded:{reasons}")


def _upload(study: StudyFolder, files: Sequence[Path], refused: dict[Path, str]) -> Iterator[Path]:
    """Upload `files` and yield each one when it is done; the others enter `refused` with wandb's last message."""
    with tempfile.TemporaryFile() as output, _wandb_sync(study, files, output) as process:
        yield from _as_uploaded(process, files)
        output.seek(0)
        lines = output.read().decode(errors="replace").strip().splitlines()
    for file in files:
        refused.pop(file, None)
        if not _uploaded(file) and any(_CUT_OFF in line and file.parent.name in line for line in lines):
            _mark(file).touch()
            yield file
        elif not _uploaded(file):
            refused[file] = lines[-1] if lines else "wandb said nothing"


def _as_uploaded(process: subprocess.Popen[bytes], files: Sequence[Path]) -> Iterator[Path]:
    """Yield each of `files` once it is marked as uploaded, until the process has ended."""
    waiting, looked = list(files), time.monotonic()
    ended = False
    while waiting and not ended:
        ended = _has_ended(process)
        done = [file for file in waiting if _uploaded(file)]
        waiting = [file for file in waiting if file not in done]
        yield from done
        if done:
            looked = time.monotonic()
        elif time.monotonic() - looked > STALL:
            if reason := no_connection():
                raise SklabError(f"W&B: the upload stopped: {reason}; the same command uploads the rest")
            looked = time.monotonic()


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    with suppress(subprocess.TimeoutExpired):
        process.wait(_LOOK)
    return process.returncode is not None


@contextmanager
def _wandb_sync(study: StudyFolder, files: Sequence[Path], output: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """`wandb sync` of `files` in a session of its own; when the context is left, or this process is killed, it has
    ended, with all it started."""
    command = [sys.executable, "-m", "sklab.tracking.uploader", "sync", *(str(file.absolute()) for file in files)]
    streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": output, "stderr": output}
    with subprocess.Popen(command, env=_environment(study), start_new_session=True, **streams) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _environment(study: StudyFolder) -> Mapping[str, str]:
    """This process's variables, without a W&B mode (an upload was asked for), with wandb's files below the study."""
    protect()
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_MODE"}
    folder = study.path.absolute()
    places = {"WANDB_DIR": folder, "WANDB_CACHE_DIR": folder / "wandb/cache", "WANDB_DATA_DIR": folder / "wandb/data"}
    return {**environment, **{name: str(place) for name, place in places.items()}, "WANDB_ERROR_REPORTING": "false"}


def _uploaded(file: Path) -> bool:
    return _mark(file).exists()


def _mark(file: Path) -> Path:
    """The file that wandb puts beside a file that it has uploaded."""
    return file.with_suffix(".wandb.synced")


def _unfinished(file: Path) -> bool:
    """Whether the file is of a run, not of the study, and that run has no record."""
    owner = file.parents[2]
    return (owner / "run.json").exists() and not (owner / "record.json").exists()
