"""What the devices of a run tell each other. On one device nothing is told: every function gives back what it got."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sklab.data.augment import Share
from sklab.training.lean_lightning import ClusterEnvironment, DDPStrategy, LightningEnvironment, Strategy

T = TypeVar("T")

HOST = "127.0.0.1"
_PATIENCE = timedelta(minutes=10)  # with a silent device; one whose process is gone is noticed at once


def join(share: Share, device: torch.device, port: int) -> None:
    """Meet the other devices at the store that listens on `port`. Every device must call it."""
    store = dist.TCPStore(HOST, port, is_master=False)  # type: ignore[attr-defined]  # not in its __all__
    backend, its = ("nccl", device) if device.type == "cuda" else ("gloo", None)
    dist.init_process_group(
        backend, store=store, rank=share.rank, world_size=share.world, timeout=_PATIENCE, device_id=its
    )


def strategy(share: Share) -> Strategy | str:
    """How Lightning trains our share of every batch: gradients are averaged over the devices.

    Batch norm's running statistics are not exchanged at every step: the first device's are what is evaluated.
    """
    if share.world == 1:
        return "auto"
    return DDPStrategy(cluster_environment=_Started(share.rank), broadcast_buffers=False)


def environment(share: Share) -> list[ClusterEnvironment]:
    """For the Trainer, beside `strategy`: within a Slurm job Lightning would otherwise take the job's tasks for devices
    and its signals for itself."""
    return [LightningEnvironment()] if share.world == 1 else []


class _Started(LightningEnvironment):
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


def largest(value: float, device: torch.device) -> float:
    """The largest over all devices. Every device must call it."""
    if not dist.is_initialized():
        return value
    held = torch.tensor(value, dtype=torch.float64, device=device)
    dist.all_reduce(held, dist.ReduceOp.MAX)
    return float(held)


def gathered(value: T) -> list[T]:
    """The values of all devices, in their order. Every device must call it."""
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
