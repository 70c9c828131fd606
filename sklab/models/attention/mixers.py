"""How an SK convolution weighs its branches. Shapes: N images, M branches, C channels, H x W pixels.

A mixer reads the M features [N, C, H, W] of the branches and gives their weights, which the SK convolution applies. A
forward hook on it reads the weights. There is no mixer for the plain sum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from sklab.models.attention.pooling import global_average, summed
from sklab.spec.model import FusePool, Mixing


class SKAttention(nn.Module):
    """Fuse's compact descriptor and Select's softmax (Li et al., CVPR 2019, equations 3 to 5).

    Output [N, M, C]: the weight of each branch per image and channel. The descriptor is pooled from the sum of the
    branches; fc C -> d and fc d -> M C, with BN and ReLU between them.

    mixing  d (`squeezed`) and two choices. `fuse_pool`: `average` over the pixels (equation 3), `max`, or `both`, the
            sum of the two descriptors. `select_act`: `softmax`, so that the weights sum to one over M (equation 5), or
            `sigmoid`, so that each is between 0 and 1 for itself. Of kind `splat`, both fc have biases: that is
            split attention (Zhang et al., ResNeSt, CVPRW 2022, section 3.1)

    In training mode the BN needs a batch of at least two (ValueError).
    """

    def __init__(self, channels: int, branches: int, mixing: Mixing) -> None:
        super().__init__()
        self.branches, self.fuse_pool, self.select_act = branches, mixing.fuse_pool, mixing.select_act
        squeezed, bias = mixing.squeezed, mixing.kind == "splat"
        self.squeeze = nn.Sequential(
            nn.Linear(channels, squeezed, bias=bias), nn.BatchNorm1d(squeezed), nn.ReLU(inplace=True)
        )
        self.expand = nn.Linear(squeezed, branches * channels, bias=bias)

    @property
    def shares(self) -> bool:
        """Whether the weights of an image sum to one over the branches."""
        return self.select_act == "softmax"

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        logits: Tensor = self.expand(self.squeeze(_POOLS[self.fuse_pool](features)))
        # Not `len(logits)`: that is a plain number, and torch.export would fix the batch size to it.
        logits = logits.view(logits.shape[0], self.branches, -1)
        return logits.softmax(dim=1) if self.shares else logits.sigmoid()

    def extra_repr(self) -> str:
        """The two choices that no layer shows."""
        return f"fuse_pool={self.fuse_pool}, select_act={self.select_act}"


def _average(features: Sequence[Tensor]) -> Tensor:
    # The average of the sum is the sum of the averages, so the sum itself is never written to memory.
    return summed([global_average(feature) for feature in features])


def _maximum(features: Sequence[Tensor]) -> Tensor:
    return summed(features).amax((2, 3))


def _both(features: Sequence[Tensor]) -> Tensor:
    return _average(features) + _maximum(features)


_POOLS: dict[FusePool, Callable[[Sequence[Tensor]], Tensor]] = {"average": _average, "max": _maximum, "both": _both}


class MeanAttention(nn.Module):
    """1 / M for every branch. Output [1, M, 1]."""

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return features[0].new_full((1, len(features), 1), 1 / len(features))


class StaticAttention(nn.Module):
    """A learned softmax over the branches per channel, which does not see the input. Output [1, M, C].

    The logits start at zero, so that the weights start as 1 / M.
    """

    def __init__(self, channels: int, branches: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(branches, channels))

    def forward(self, _features: Sequence[Tensor]) -> Tensor:
        return self.logits.softmax(dim=0)[None]


class SpatialSelection(nn.Module):
    """A weight between 0 and 1 per pixel and branch (Li et al., LSKNet, ICCV 2023, section 3.3).

    Output [N, M, 1, H, W]. The average and the maximum over the channels of all branches, a 7x7 convolution to M maps,
    sigmoid. The branches stay side by side, as in an SK convolution: in LSKNet they follow one another.
    """

    def __init__(self, branches: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, branches, 7, padding=3)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        averages = summed([feature.mean(1, keepdim=True) for feature in features]) / len(features)
        largest = torch.stack([feature.amax(1, keepdim=True) for feature in features]).amax(0)
        maps: Tensor = self.conv(torch.cat([averages, largest], dim=1))
        return maps.sigmoid()[:, :, None]


def mixer(mixing: Mixing, channels: int, branches: int) -> nn.Module | None:
    """The mixer that `mixing` describes, for M = `branches` of C = `channels`; None for the plain sum.

    The mean of a single branch is its plain sum.
    """
    if mixing.fuses:
        return SKAttention(channels, branches, mixing)
    if mixing.kind == "mean":
        return MeanAttention() if branches > 1 else None
    if mixing.kind == "static":
        return StaticAttention(channels, branches)
    return SpatialSelection(branches) if mixing.kind == "lsk" else None
