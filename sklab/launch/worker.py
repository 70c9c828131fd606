"""The process entry of a run: make the process a good citizen of the machine, then do the job."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from sklab.launch.base import FOLDER_HELD, Job, Task
from sklab.launch.slots import Slot
from sklab.own.files import look_in
from sklab.store.dated import lacks_evaluation
from sklab.store.run_folder import RunFolder
from sklab.store.states import open_without_waiting
from sklab.system.processes import on_parent_end, unblock_stop_signals

if TYPE_CHECKING:
    import torch

# A killed runner's runs end within milliseconds, but the check of another study over the same networks takes its time.
PATIENCE: dict[Task, int] = {"train": 20, "check": 600, "probe": 600}


def work(job: Job, slot: Slot) -> None:
    """Do `job` in a child process of the caller: own process group, output to the log, dead when the caller is."""
    lead_own_group()
    _do(job, slot)


def work_on_call(jobs: Connection) -> None:
    """The same for the job and the slot that come from there, once they come."""
    lead_own_group()
    try:
        job, slot = jobs.recv()
    except EOFError:  # the runner is gone
        return
    _do(job, slot)


def lead_own_group() -> None:
    """Make this process a group of its own that ends with the caller."""
    os.setsid()
    unblock_stop_signals()
    on_parent_end(lambda: os.killpg(0, signal.SIGKILL))


def use(slot: Slot) -> None:
    """Have this process, which has not used CUDA yet, see the slot's GPUs and no others, and use its threads."""
    os.environ["CUDA_VISIBLE_DEVICES"] = slot.gpu or ""
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # as nvidia-smi numbers them; CUDA itself puts the fastest first
    os.environ["OMP_NUM_THREADS"] = str(slot.threads)  # of programs that a run starts; its own: see `device_of`


def device_of(slot: Slot) -> torch.device:
    """The slot's device, after torch was told the number of threads."""
    import torch

    torch.set_num_threads(slot.threads)
    return torch.device("cuda" if slot.gpu is not None else "cpu")


def _do(job: Job, slot: Slot) -> None:
    use(slot)
    with _alone_in(job):
        if begin(job):
            _redirect_output(job.folder / "log.txt")
            log_to_stderr()
            perform(job, slot)


def log_to_stderr() -> None:
    """Have this process print sklab's log on standard error."""
    from sklab.training.callbacks.logbook import log_to_stderr

    log_to_stderr()


def begin(job: Job) -> bool:
    """Clear the folder for a new attempt, or leave a finished run to be evaluated; copies of own code in it are found
    from now on.

    False when nothing is left to do: another process has finished the run meanwhile.
    """
    look_in(job.folder)
    if job.task == "train":
        folder = RunFolder(job.folder)
        record = folder.read_record()
        if record is not None and record.final:
            order = folder.read_order()
            return lacks_evaluation(folder, record, order)
        folder.begin_attempt()
    return True


def perform(job: Job, slot: Slot) -> None:
    """Do `job` in this process, on the slot's device with the slot's threads."""
    device = device_of(slot)
    if job.task == "train":
        from sklab.training.evaluate import evaluate_missing
        from sklab.training.run import train

        folder = RunFolder(job.folder)
        order = folder.read_order()
        record = folder.read_record() or train(order, folder, device)
        evaluate_missing(folder, record, order, device.type)
    elif job.task == "probe":
        from sklab.training.jobs import probe

        probe(job.folder, device)
    else:
        from sklab.training.jobs import check

        check(job.folder, device, slot.name)


def held_message(job: Job) -> str:
    """What is told when the job's folder does not become free."""
    patience = PATIENCE[job.task]
    return f"sklab: {job.folder}: another process has been working there for {patience} s; end it first"


@contextmanager
def _alone_in(job: Job) -> Iterator[None]:
    """Hold the lock of the job's folder; end the process, with a message, where it does not become free."""

    def give_up(*_: object) -> None:
        sys.stderr.write(f"{held_message(job)}\n")
        sys.stderr.flush()
        sys.exit(FOLDER_HELD)

    with open(RunFolder(job.folder).lock_file, "a", opener=open_without_waiting) as lock:
        signal.signal(signal.SIGALRM, give_up)
        signal.alarm(PATIENCE[job.task])
        fcntl.flock(lock, fcntl.LOCK_EX)
        signal.alarm(0)
        yield


def _redirect_output(log: Path) -> None:
    """Send everything this process and its children print, from C as well, to `log`."""
    sys.stdout.flush()
    sys.stderr.flush()
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
