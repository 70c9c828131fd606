"""Slurm's own commands: handing jobs over and asking for them."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from sklab.errors import SklabError
from sklab.spec.study.launchers import SlurmSpec
from sklab.system.safe_path import program, protect

_PATIENCE = 120.0  # seconds for an answer; Slurm's own commands give up sooner


class RefusedError(Exception):
    """Slurm has not taken jobs; the text is sbatch's."""


def hand_over(spec: SlurmSpec, name: str, files: Path, warning: int, tasks: Sequence[str], command: list[str]) -> str:
    """Submit `command` with each of `tasks` as its last arguments, as one array; the array's number.

    files    where each job's output goes, as `<number>.log`
    warning  seconds before its time limit at which a job gets SIGUSR2

    The command stands in the batch script, which Slurm keeps: nothing that lies in `files` is executed. Raises
    RefusedError.
    """
    files.mkdir(parents=True, exist_ok=True)
    protect()
    options = [f"--{name}" if value is True else f"--{name}={value}" for name, value in _options(spec, len(tasks))]
    fixed = [f"--job-name={name}", f"--output={files}/%A_%a.log", f"--signal=USR2@{warning}"]
    try:
        sbatch = [program("sbatch"), "--parsable", *fixed, *options]
        answer = subprocess.run(
            sbatch, input=_script(spec, tasks, command), capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise RefusedError(str(error)) from error
    number = answer.stdout.strip().partition(";")[0]
    if answer.returncode or not number.isdecimal():
        raise RefusedError((answer.stderr or answer.stdout).strip())
    return number


def _options(spec: SlurmSpec, tasks: int) -> Iterator[tuple[str, str | int | bool]]:
    yield "array", f"0-{tasks - 1}%{spec.parallel}"
    yield "nodes", 1
    yield "time", spec.time
    yield "cpus-per-task", spec.cpus
    yield "requeue", True
    yield "open-mode", "append"
    if spec.partition is not None:
        yield "partition", spec.partition
    if spec.gpus:
        yield "gpus-per-node", spec.gpus
    if spec.memory is not None:
        yield "mem", f"{spec.memory}G"
    yield from spec.sbatch.items()


def _script(spec: SlurmSpec, tasks: Sequence[str], command: list[str]) -> str:
    """srun does not take the number of threads over from sbatch since Slurm 22.05."""
    srun = ["srun", "--unbuffered", f"--cpus-per-task={spec.cpus}", sys.executable, "-P", *command, *tasks]
    return f"#!/bin/sh\nexec {shlex.join(srun)}\n"


def queue(name: str) -> set[str] | None:
    """The numbers of this user's pending and running jobs of that name; None when Slurm does not answer."""
    asked = ["--me", f"--name={name}", "--noheader", "--array", "--format=%i"]
    try:
        answer = subprocess.run(
            [program("squeue"), *asked], capture_output=True, text=True, timeout=_PATIENCE / 2, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return set(answer.stdout.split())


def ensure_there() -> None:
    """Raise SklabError where there is no Slurm."""
    try:
        program("srun")
    except FileNotFoundError:
        raise SklabError("there is no Slurm here (no srun on the PATH); start the sweep on a login node") from None
