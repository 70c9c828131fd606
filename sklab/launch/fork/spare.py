"""The processes of runs, forked from a server process that has torch loaded already: one for each, or one that trains
several in turn.

A fork from the preloaded server costs milliseconds where a fresh interpreter costs seconds. The server never
touches CUDA, so each run may choose its own device.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from sklab.errors import SklabError
from sklab.launch.abreast import work_abreast  # imports torch in the child only
from sklab.launch.base import Job
from sklab.launch.slots import Slot
from sklab.launch.worker import work_on_call  # imports torch in the child only
from sklab.system.processes import end_at_once, no_main_module, oom_kills, signal_name
from sklab.system.safe_path import protect

_PRELOAD = ["sklab.launch.fork.server", "sklab.launch.fork.preload"]
_LONGEST = 75  # of a temporary folder: below it lie `/pymp-xxxxxxxx/listener-xxxxxxxx`
_SERVERS = 3  # killed one after the other before a run could be started
_SERVER_END = 0.5  # seconds; a killed server refuses calls a moment before its end is visible, and would be tried again
_UNKNOWN_EXIT_CODE = 255  # what multiprocessing reports for a process whose server ended first


class SpareProcess:
    """A process that waits for the job of a run, so that a slot that gets free need not wait for a fork.

    It dies with this one; the first of all starts the server as well.
    """

    def __init__(self) -> None:
        self._process, self._jobs = forked(work_on_call)

    @property
    def is_alive(self) -> bool:
        """False once the process has ended, or the server that would report its end."""
        return self._process.is_alive()

    def do(self, job: Job, slot: Slot) -> ForkServerProcess:
        """Have it do `job`: the process, which is a spare one no more. One that is gone already just ends."""
        with contextlib.suppress(BrokenPipeError):
            self._jobs.send((job, slot))
        self._jobs.close()
        return self._process

    def end(self) -> None:
        """End the process, even if it was stopped and can't read from its pipe."""
        self._jobs.close()
        end_at_once(self._process)


@contextmanager
def server_ended() -> Iterator[None]:
    """End the server that runs are forked from afterwards, unless the program had one before. What the program itself
    forks later would have the server's blocked signals and modules."""
    server: Any = forkserver._forkserver
    had_one = server._forkserver_pid is not None
    try:
        yield
    finally:
        if not had_one:
            server._stop()
            server.set_forkserver_preload(["__main__"])  # as in a fresh interpreter


def exit_code(process: ForkServerProcess) -> int:
    """The exit code of a process that has ended; as if killed where only its dead server knew the code, and where it
    does not end though it was killed."""
    return -signal.SIGKILL if process.exitcode in (None, _UNKNOWN_EXIT_CODE) else process.exitcode


def forked(target: Callable[[Connection], None], *, duplex: bool = False) -> tuple[ForkServerProcess, Connection]:
    """A new process that does `target` with one end of a pipe, and the other end; if the server is killed meanwhile,
    another server forks it. Only we send, unless `duplex`."""
    protect()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    killed_before = oom_kills()
    for _ in range(_SERVERS):
        theirs, ours = context.Pipe(duplex=duplex)
        process = context.Process(target=target, args=(theirs,))
        with contextlib.suppress(EOFError, ConnectionError), theirs, no_main_module(), _socket_path_checked():
            process.start()
            return process, ours
        time.sleep(_SERVER_END)
    raise SklabError(f"{_why_it_died(killed_before)}; once that is mended, the same command goes on")


def _why_it_died(killed_before: int) -> str:
    """Why the server ended: the error that a second start shows, or what the kernel reports."""
    loading = [sys.executable, "-c", f"import {', '.join(_PRELOAD)}"]
    heard = subprocess.run(
        loading, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    if heard.returncode > 0:
        said = (heard.stderr.strip().splitlines() or ["without a word"])[-1]
        return f"what every run loads can't be loaded: {said} (`sklab doctor` tells which library it is)"
    if heard.returncode < 0:
        how = signal_name(-heard.returncode)
        return f"what every run loads can't be loaded: killed by {how} (`sklab doctor` tells which library it is)"
    memory = ", and the kernel has killed a process because memory ran out" if oom_kills() > killed_before else ""
    return f"the process that runs are forked from was killed {_SERVERS} times before it could fork one{memory}"


@contextmanager
def _socket_path_checked() -> Iterator[None]:
    """Report a temporary folder whose path leaves no room for a socket's name, which may have 107 bytes."""
    try:
        yield
    except OSError as error:
        if "path too long" not in str(error):
            raise
        told = f"TMPDIR: the path {tempfile.gettempdir()} is too long for a socket in it"
        raise SklabError(f"{told}; allowed: at most {_LONGEST} characters") from error


class MultiRunProcess:
    """The runs of one process on the devices of `slot`; it dies with this process.

    process  to wait for and to end
    ends     readable when a run has ended, or the process
    """

    def __init__(self, slot: Slot) -> None:
        self.process, self.ends = forked(work_abreast, duplex=True)
        self._send(slot)

    def train(self, job: Job) -> None:
        """Have it take on the run of `job`. One that is gone already just ends."""
        self._send(job)

    def ended(self) -> list[tuple[Path, int]]:
        """The folders and exit codes of the runs that have ended since the last call."""
        told: list[tuple[Path, int]] = []
        with contextlib.suppress(EOFError, OSError):  # the process is gone
            while self.ends.poll():
                told.append(self.ends.recv())
        return told

    def _send(self, told: object) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.ends.send(told)
