"""What is done to a batch on the device: cut, mirror, normalise."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sklab.spec.data import DataSpec
from sklab.spec.train import TrainSpec


def pad(images: Tensor, margin: int) -> Tensor:
    """uint8 [N, C, H, W] with a black margin of `margin` pixels."""
    return F.pad(images, (margin,) * 4)


def cut(padded: Tensor, index: Tensor, shifts: Tensor, flips: Tensor, size: int) -> Tensor:
    """uint8 [B, C, size, size]: a window of each image of `padded` [N, C, H, W] that `index` [B] names.

    `shifts` int64 [B, 2] is the window's upper left corner (down, right), `flips` bool [B] mirrors it left-right.
    """
    windows = padded.unfold(2, size, 1).unfold(3, size, 1)  # [N, C, down, right, size, size]: a view, nothing copied
    images = windows[index, :, shifts[:, 0], shifts[:, 1]]
    return mirror(images, flips)


def mirror(images: Tensor, flips: Tensor) -> Tensor:
    """uint8 [B, C, H, W]: those of `images` that `flips` bool [B] names are mirrored left-right, the others not."""
    chosen = flips.to(torch.uint8).neg()[:, None, None, None]  # all bits or none
    # The bits that differ, where chosen: over bytes torch.where takes four times as long on the CPU.
    return images.flip(3).bitwise_xor_(images).bitwise_and_(chosen).bitwise_xor_(images)


class Normalise:
    """uint8 [N, C, H, W] -> float32 (x / 255 - mean) / std, in the recipe's memory format."""

    def __init__(self, spec: DataSpec, train: TrainSpec, device: torch.device) -> None:
        mean, std = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (spec.mean, spec.std))
        self._scale, self._shift = 1 / (255 * std), -mean / std
        last = train.memory_format == "channels_last"
        self._format = torch.channels_last if last else torch.contiguous_format

    def __call__(self, images: Tensor) -> Tensor:
        # Allocated outright: with one channel a tensor passes for both formats, and its strides decide how
        # the convolutions run.
        batch = torch.empty(images.shape, dtype=torch.float32, device=images.device, memory_format=self._format)
        return batch.copy_(images).mul_(self._scale).add_(self._shift)
