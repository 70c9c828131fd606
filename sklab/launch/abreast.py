"""The process of several runs: it trains them in turn, one step of each, and takes on more while it does.

Its standard output and error are those of the run that it is at. What one run raises is that run's end; only where CUDA
itself is broken does the process end, and with it all its runs.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
import traceback
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, TextIO

from sklab.launch.base import DEVICE_BROKEN, FOLDER_HELD, Job
from sklab.launch.slots import Slot
from sklab.launch.worker import PATIENCE, begin, device_of, held_message, lead_own_group, log_to_stderr, use
from sklab.store.run_folder import RunFolder
from sklab.store.states import open_without_waiting

if TYPE_CHECKING:
    from sklab.training.fit import Process
    from sklab.training.run import Attempt

_ERROR = 1  # exit code of a run whose end is no record


def work_abreast(pipe: Connection) -> None:
    """Take a slot from `pipe`, then jobs to train on it; send the folder and the exit code of each that ends."""
    lead_own_group()
    with suppress(EOFError):  # the runner is gone
        slot: Slot = pipe.recv()
        use(slot)
        log_to_stderr()
        train_in_turn(pipe, slot)


def train_in_turn(pipe: Connection, slot: Slot) -> None:
    """Train the runs of the jobs that come from `pipe`. Raises EOFError once it is closed; a signal that asks for an
    end ends this process once all runs have ended."""
    from sklab.training.fit import BrokenProcessError, Process

    process, terminal, running = Process(device_of(slot)), os.dup(2), list[_Run]()
    try:
        while True:
            while pipe.poll(0 if running else None):
                running.append(_Run(pipe.recv(), process, terminal))
            process.hold(len(running))
            _advance(running)
            for run in [run for run in running if run.exitcode is not None]:
                running.remove(run)
                run.close()
                pipe.send((run.job.folder, run.exitcode))
            if not running:
                _end_if_due(process)
    except BrokenProcessError as error:
        for run in running:
            run.tell(f"{type(error).__name__}: {error}")
        os._exit(DEVICE_BROKEN)  # an orderly end would use CUDA; so in `_end_if_due`


def _advance(running: Sequence[_Run]) -> None:
    """A step of each run that is ready. Where none is, the first one waits for the device."""
    for run in [run for run in running if run.is_ready] or running[:1]:
        run.advance()


def _end_if_due(process: Process) -> None:
    """End if the last run has broken CUDA, or as the signal ends a process that came; without one, let it do so from
    now on, until there is a run again."""
    if process.broken:
        os._exit(DEVICE_BROKEN)
    process.stop.release()
    if process.stop.asked:
        os.kill(os.getpid(), signal.Signals[process.stop.asked])


class _Run:
    """A job in this process. `exitcode`: how it ended, as a process of its own would have; None before."""

    def __init__(self, job: Job, process: Process, terminal: int) -> None:
        self.job = job
        self.exitcode: int | None = None
        self._folder, self._process, self._output = RunFolder(job.folder), process, terminal
        self._log: TextIO | None = None
        self._attempt: Attempt | None = None
        self._steps = self._work()

    @property
    def is_ready(self) -> bool:
        """False while it waits for the device."""
        return self._attempt is None or self._attempt.is_ready

    def advance(self) -> None:
        """Take the next step."""
        from sklab.training.fit import BrokenProcessError

        self._take_output()
        try:
            next(self._steps)
        except StopIteration as end:
            self.exitcode = end.value
        except BrokenProcessError:
            raise
        except Exception:  # no run takes others with it
            traceback.print_exc()
            self.exitcode = _ERROR

    def tell(self, text: str) -> None:
        """Write a line into the run's log."""
        self._take_output()
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def close(self) -> None:
        """Leave its log, and free what its attempt held: the run has ended."""
        self._attempt = None
        self._steps.close()
        if self._log is not None:
            self._log.close()

    def _open_log(self) -> None:
        self._log = self._folder.log_file.open("a", encoding="utf-8")
        self._output = self._log.fileno()
        self._take_output()

    def _take_output(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(self._output, 1)
        os.dup2(self._output, 2)

    def _work(self) -> Generator[None, None, int]:
        with open(self._folder.lock_file, "a", opener=open_without_waiting) as lock:
            give_up = time.monotonic() + PATIENCE["train"]
            while not _locked(lock.fileno()):
                if time.monotonic() > give_up:
                    self.tell(held_message(self.job))
                    return FOLDER_HELD
                yield
            if begin(self.job):
                self._open_log()
                yield from self._train()
            return 0

    def _train(self) -> Iterator[None]:
        from sklab.training.evaluate import evaluate_missing
        from sklab.training.run import Attempt

        order, record = self._folder.read_order(), self._folder.read_record()
        if record is None:
            attempt = self._attempt = Attempt(order, self._folder, self._process)
            while attempt.record is None:
                attempt.advance()
                yield
            record = attempt.record
        evaluate_missing(self._folder, record, order, self._process.device.type)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
