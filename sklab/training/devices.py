"""One run on several devices: a process for each, and this one, which computes nothing and watches over them.

The processes are started afresh, not forked: torch may have been at work in this one already. They stay in its
process group, so that whoever ends that ends them all; and they end by themselves when this process is gone. What
they tell each other goes through functions that, on one device, give back what they got.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # not in its __all__

from sklab.data.augment import Share
from sklab.store.records import RunRecord
from sklab.system.processes import Stop, end_at_once, on_parent_end, signal_name
from sklab.system.safe_path import protect
from sklab.training.callbacks.logbook import log_to_stderr
from sklab.training.lean_lightning import ClusterEnvironment, DDPStrategy, LightningEnvironment, Strategy

Send = Callable[[RunRecord], object]
Keep = Callable[[RunRecord], RunRecord]

_CLOSING_TIME = 30.0  # seconds that the first device's process has, after its record, to close what it opened
T = TypeVar("T")
HOST = "127.0.0.1"
_PATIENCE = timedelta(minutes=10)  # with a silent device; one whose process is gone is noticed at once


@dataclass(frozen=True)
class Member:
    """One of the devices that train a run together, in the process of its own; the others are met at `port`."""

    device: torch.device
    share: Share
    port: int

    def meet(self) -> None:
        """Start the device and meet the others. Raises what CUDA does where it can't start."""
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        join(self.share, self.device, self.port)


Work = Callable[[Member, Send], object]


class LostProcessError(Exception):
    """A process of the run ended without a word. `killed`: by a signal."""

    def __init__(self, rank: int, exitcode: int) -> None:
        self.killed = exitcode < 0
        how = f"was killed by {signal_name(-exitcode)}" if self.killed else f"ended with exit code {exitcode}"
        super().__init__(f"the process of device {rank} {how}")


def train_together(work: Work, devices: int, device_type: str, keep: Keep, stop: Stop) -> RunRecord:
    """Do `work` on `devices` devices at once and `keep` the record of the run: the one of device 0, or of the first
    device that failed. Returns what `keep` returns; no process is left then.

    On the CPU a device is a process with an even share of this one's threads. `work` must be known by its name, and has
    to meet the others before anything else: what goes wrong there has a record too. A signal that asks this process to
    stop, heard by `stop`, is passed on to all.
    Raises LostProcessError when a process ends without a word.
    """
    rendezvous = _rendezvous()
    threads = max(1, torch.get_num_threads() // devices)
    with ExitStack() as stack:
        running = {}
        for rank in range(devices):
            receiver, process = _start(work, device_type, Share(rank, devices), rendezvous.port, threads)
            stack.callback(end_at_once, process)
            stop.others.append(cast(int, process.pid))
            running[receiver] = (rank, process)
        rank, record = _deciding_record(running)
        kept = keep(record)
        if rank == 0:
            next(process for its, process in running.values() if its == 0).join(_CLOSING_TIME)
        return kept


def _rendezvous() -> TCPStore:
    """The store where the processes find each other: open to this machine only, at a free port."""
    place = socket.create_server((HOST, 0))
    port = place.getsockname()[1]
    return TCPStore(HOST, port, is_master=True, wait_for_workers=False, master_listen_fd=place.detach())


def _start(
    work: Work, device_type: str, share: Share, port: int, threads: int
) -> tuple[Connection[object, RunRecord], SpawnProcess]:
    protect()
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=_device, args=(work, device_type, share, port, threads, sender), name=f"sklab-device-{share.rank}"
    )
    process.start()
    sender.close()  # so that its end, there, is the end of the receiver
    return receiver, process


def _deciding_record(running: dict[Connection[object, RunRecord], tuple[int, SpawnProcess]]) -> tuple[int, RunRecord]:
    """The device and the record that decide how the run ended. A failed one, wherever, is the end of all; what devices
    were asked to end with is the first one's to tell."""
    waiting = set(running)
    while True:
        ready = [cast("Connection[object, RunRecord]", one) for one in wait(list(waiting))]
        heard = [(running[receiver], _receive(receiver)) for receiver in ready]
        for (rank, process), record in heard:  # first: what others say then is that they lost it
            if record is None:
                process.join()
                raise LostProcessError(rank, process.exitcode or 0)
        for (rank, _), record in heard:
            if record is not None and (rank == 0 or (record.status == "failed" and record.failure != "preempted")):
                return rank, record
        waiting -= set(ready)


def _receive(receiver: Connection[object, RunRecord]) -> RunRecord | None:
    try:
        return receiver.recv()
    except (EOFError, OSError):
        return None


def _device(
    work: Work, device_type: str, share: Share, port: int, threads: int, sender: Connection[RunRecord, object]
) -> None:
    """The process of one device."""
    on_parent_end(lambda: os.kill(os.getpid(), signal.SIGKILL))
    log_to_stderr()
    os.environ["OMP_NUM_THREADS"] = str(threads)  # else Lightning chooses
    torch.set_num_threads(threads)
    device = torch.device(device_type, share.rank) if device_type == "cuda" else torch.device(device_type)
    told: list[RunRecord] = []

    def tell(record: RunRecord) -> None:
        told.append(record)
        sender.send(record)

    work(Member(device, share, port), tell)
    if share.rank and told[-1].status == "failed":
        signal.pause()  # while this process lives, the others fail of nothing that could hide the reason
    if told[-1].status != "failed":
        dist.destroy_process_group()


def join(share: Share, device: torch.device, port: int) -> None:
    """Meet the other devices at the store that listens on `port`. Every device must call it."""
    store = dist.TCPStore(HOST, port, is_master=False)  # type: ignore[attr-defined]  # not in its __all__
    # Where tensors are on GPUs, what the processes tell each other still goes from CPU to CPU and waits for no GPU.
    backend, its = ("cpu:gloo,cuda:nccl", device) if device.type == "cuda" else ("gloo", None)
    dist.init_process_group(
        backend, store=store, rank=share.rank, world_size=share.world, timeout=_PATIENCE, device_id=its
    )


def strategy(share: Share) -> Strategy | str:
    """How Lightning trains our share of every batch: gradients are averaged over the devices.

    Batch norm's running statistics are not exchanged at every step: the first device's are what is evaluated.
    """
    if share.world == 1:
        return "auto"
    return DDPStrategy(cluster_environment=_StartedProcesses(share.rank), broadcast_buffers=False)


def environment(share: Share) -> list[ClusterEnvironment]:
    """The Trainer's plugins, beside `strategy`. Without them Lightning, within a Slurm job, would take the job's
    tasks for devices and handle its signals."""
    return [LightningEnvironment()] if share.world == 1 else []


class _StartedProcesses(LightningEnvironment):
    """Processes that are there already, and have met, on one machine."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self._rank = rank

    @property
    def creates_processes_externally(self) -> bool:
        return True

    def local_rank(self) -> int:
        return self._rank

    def node_rank(self) -> int:
        return 0


def total(value: Tensor | float) -> Tensor | float:
    """The sum of `value` over all devices, the same on each to the last bit. Every device must call it."""
    if not dist.is_initialized() or not isinstance(value, Tensor):
        return value
    summed = value.clone()
    dist.all_reduce(summed)
    return summed


def largest(value: float) -> float:
    """The largest over all devices. Every device must call it."""
    if not dist.is_initialized():
        return value
    held = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(held, dist.ReduceOp.MAX)
    return float(held)


class LargestLater:
    """The largest number of all devices, heard some time after it was told: until then nobody waits for it."""

    def __init__(self) -> None:
        self._told: tuple[Tensor, Any] | None = None

    def tell(self, value: int) -> None:
        """Every device must call it."""
        held = torch.tensor(value)
        self._told = held, dist.all_reduce(held, dist.ReduceOp.MAX, async_op=True)

    def hear(self) -> int:
        """The largest of what all told last; 0 if nothing was told."""
        if self._told is None:
            return 0
        held, under_way = self._told
        under_way.wait()
        return int(held)


def gathered(value: T) -> list[T]:
    """The values of all devices, in their order; without tensors on a GPU, which every process would open for them.
    Every device must call it."""
    if not dist.is_initialized():
        return [value]
    held: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(held, value)
    return held


def copy_buffers(network: nn.Module) -> None:
    """Give every device the first one's buffers: running statistics. Every device must call it."""
    if dist.is_initialized():
        for buffer in network.buffers():
            dist.broadcast(buffer, 0)
