"""The counters of batch norm: the batches that each layer has seen in training, without a kernel for each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_COUNTER = "num_batches_tracked"


class BatchCounters:
    """Counts for all batch norms of `network` at once: SKNet-50 has 85.

    Each counts one batch for a forward pass of the network. A layer with a forward pass of its own, or with momentum
    None, whose output depends on its counter, still counts for itself.
    """

    def __init__(self, network: nn.Module) -> None:
        norms = [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]
        self._norms = [
            norm
            for norm in norms
            if type(norm).forward is _BatchNorm.forward
            and norm.momentum is not None
            and norm.num_batches_tracked is not None
        ]

    @contextmanager
    def counted_at_once(self) -> Iterator[None]:
        """For one forward pass: within, the layers in training mode have no counter and so count nothing; afterwards
        they have it again, one higher. Nothing here waits for the device."""
        counting = [norm for norm in self._norms if norm.training]
        counters = [cast(Tensor, norm.num_batches_tracked) for norm in counting]
        _set(counting, [None] * len(counting))
        try:
            yield
        finally:
            _set(counting, counters)
        if counters:
            torch._foreach_add_(counters, 1)


def _set(norms: list[_BatchNorm], counters: Sequence[Tensor | None]) -> None:
    for norm, counter in zip(norms, counters, strict=True):
        norm._buffers[_COUNTER] = counter  # as `setattr` does, which takes 60 times as long
