"""Sums of branches and averages over pixels, as attention reads them. Shapes: N images, C channels, H x W pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# The sum of many pixels may be more than fp16's largest number: autocast decides. A table, since torch.fx, which traces
# networks to convert them, can't follow a condition.
_SUM_DTYPES: dict[torch.dtype, torch.dtype | None] = {torch.float16: None}


def global_average(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C]. The backward pass of `sum`, unlike that of `mean`, writes no full-size tensor.

    That holds where the sum has the dtype of `x`; left to itself, autocast on CUDA would make it fp32.
    """
    return x.sum(dim=(2, 3), dtype=_SUM_DTYPES.get(x.dtype, x.dtype)) / (x.shape[2] * x.shape[3])


def summed(tensors: Sequence[Tensor]) -> Tensor:
    """Their sum; all have one shape."""
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total


def channel_maps(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, 2, H, W]: the average and the maximum over the channels, per pixel."""
    return torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
