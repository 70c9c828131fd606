"""K networks of one architecture as one network: their channels stand side by side, and none sees another's.

Images [N, K, H, W], an image of each network's own batch; logits [N * K, classes]. `StackedArrays` gives the images.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from sklab.data.loaders import EpochDraws, TrainArrays
from sklab.models.attention.mixers import SKAttention
from sklab.models.attention.pooling import global_average, summed


class StackedNetworks(nn.Module):
    """Trained by the mean loss of the N * K logits, each network gets the gradients of the mean loss of its own N."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self._count, self._stacked = len(networks), _stacked(networks)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self._stacked(images)
        logits = logits.reshape(len(images) * self._count, -1)
        return logits + (self._count - 1) * (logits - logits.detach())  # the values stay, gradients are times K


class StackedArrays:
    """In the place of TrainArrays: the batches of K seeds side by side."""

    def __init__(self, arrays: Sequence[TrainArrays]) -> None:
        self._arrays, self.device, self.side = arrays, arrays[0].device, arrays[0].side

    def __len__(self) -> int:
        return len(self._arrays[0])

    def draws(self, epoch: int) -> list[Tensor]:
        return [table for each in self._arrays for table in each.draws(epoch)]

    def batch(self, draws: Sequence[Tensor], places: Tensor) -> tuple[Tensor, Tensor]:
        """Images [N, K, H, W] of one channel, and labels [N * K]."""
        width = len(EpochDraws._fields)
        parts = [
            each.batch(EpochDraws(*draws[width * number : width * (number + 1)]), places)
            for number, each in enumerate(self._arrays)
        ]
        return torch.cat([images for images, _ in parts], dim=1), torch.stack([own for _, own in parts], 1).flatten()


def _stacked(modules: Sequence[nn.Module]) -> nn.Module:
    first = modules[0]
    if isinstance(first, nn.Conv2d):
        return _convolution(cast(Sequence[nn.Conv2d], modules))
    if isinstance(first, nn.BatchNorm1d | nn.BatchNorm2d):
        return _filled(type(first)(len(modules) * first.num_features, first.eps, first.momentum), modules)
    if isinstance(first, nn.Linear):
        return _StackedLinear(cast(Sequence[nn.Linear], modules))
    stacked = _StackedAttention(first, len(modules)) if isinstance(first, SKAttention) else copy.deepcopy(first)
    if dict(first.named_parameters(recurse=False)):
        raise TypeError(f"{type(first).__name__} can't be stacked")
    for name, _ in first.named_children():
        setattr(stacked, name, _stacked([getattr(each, name) for each in modules]))
    return stacked


def _convolution(layers: Sequence[nn.Conv2d]) -> nn.Module:
    first, count = layers[0], len(layers)
    settings: dict[str, Any] = {
        name: getattr(first, name) for name in ("kernel_size", "stride", "padding", "dilation", "padding_mode")
    }
    channels = count * first.in_channels, count * first.out_channels
    wide = type(first)(*channels, groups=count * first.groups, bias=first.bias is not None, **settings)
    return _filled(wide, layers)


def _filled(wide: nn.Module, parts: Sequence[nn.Module]) -> nn.Module:
    """`wide`, whose tensors are those of `parts` one after another."""
    own = parts[0].state_dict()
    states = [part.state_dict() for part in parts]
    joined = {name: torch.cat([each[name] for each in states]) if own[name].ndim else own[name] for name in own}
    wide.load_state_dict(joined)
    return wide.to(next(parts[0].parameters()))


class _StackedLinear(nn.Module):
    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([each.weight.detach().T for each in layers]).contiguous())
        biases = [each.bias for each in layers if each.bias is not None]
        self.bias = nn.Parameter(torch.stack([each.detach() for each in biases])[:, None]) if biases else None

    def forward(self, x: Tensor) -> Tensor:
        """[N, K * in] -> [N, K * out]."""
        output = x.view(len(x), len(self.weight), -1).transpose(0, 1).bmm(self.weight)
        return (output if self.bias is None else output + self.bias).transpose(0, 1).flatten(1)


class _StackedAttention(nn.Module):
    def __init__(self, attention: SKAttention, count: int) -> None:
        super().__init__()
        self._branches, self._count = attention.branches, count
        self.squeeze = self.expand = nn.Module()  # set by `_stacked`

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """M times [N, K * C, H, W] -> [N, M, K * C]."""
        pooled = summed([global_average(feature) for feature in features])
        logits: Tensor = self.expand(self.squeeze(pooled))
        weights = logits.view(len(pooled), self._count, self._branches, -1).softmax(dim=2)
        return weights.transpose(1, 2).flatten(2)
