"""The random augmentation of a run's images, and the work on a batch on the device: cut, mirror, normalise.

Every draw is a pure function of (seed, epoch, place): the same for every model and any number of devices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sklab.spec.data import DataSpec
from sklab.spec.train import Augment, TrainSpec

# Independent random streams of one seed and epoch.
_ORDER, _SHIFT_FLIP, _CROP, MIXUP, CUTMIX, POLICY, ERASE, OWN = range(8)


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
    """uint8 [B, C, H, W]: `images`, mirrored left-right where `flips` bool [B] is true."""
    chosen = flips.to(torch.uint8).neg()[:, None, None, None]  # all bits set, or none
    # XOR with the differing bits, where chosen: torch.where on bytes takes four times as long on the CPU.
    return images.flip(3).bitwise_xor_(images).bitwise_and_(chosen).bitwise_xor_(images)


class Normalise:
    """uint8 [N, C, H, W] -> float32 (x / 255 - mean) / std on `device`, in the recipe's memory format."""

    def __init__(self, spec: DataSpec, train: TrainSpec, device: torch.device) -> None:
        self.device = device
        mean, std = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (spec.mean, spec.std))
        self._scale, self._shift = 1 / (255 * std), -mean / std
        last = train.memory_format == "channels_last"
        self._format = torch.channels_last if last else torch.contiguous_format

    def __call__(self, images: Tensor) -> Tensor:
        # Allocated with its format: a tensor with one channel counts as both formats, and its strides decide how
        # the convolutions run.
        batch = torch.empty(images.shape, dtype=torch.float32, device=images.device, memory_format=self._format)
        return batch.copy_(images).mul_(self._scale).add_(self._shift)


class EpochSampler:
    """The order of `size` images: another permutation in each epoch, decided by (seed, epoch).

    Iterating gives pairs (epoch, index), so that a worker process learns the epoch from its key.

    skipped  how many images at the start of the epoch the next iteration (and only that one) leaves out
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.epoch, self.skipped = size, seed, 0, 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    def permutation(self) -> NDArray[np.int64]:
        """int64 [size]: the images in the order of this epoch."""
        return np.argsort(generator(self.seed, self.epoch, _ORDER).random(self.size), kind="stable")

    def __iter__(self) -> Iterator[tuple[int, int]]:
        start, self.skipped = self.skipped, 0
        return ((self.epoch, index) for index in self.permutation()[start:].tolist())

    def __len__(self) -> int:
        return self.size


def shifts_and_flips(augment: Augment, size: int, seed: int, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """int64 [size, 2] (down, right; each 0 to 2 * pad_crop) and bool [size] for the images in this epoch's order."""
    draws = generator(seed, epoch, _SHIFT_FLIP).random((size, 3))
    shifts = np.floor(draws[:, :2] * (2 * augment.pad_crop + 1)).astype(np.int64)
    return shifts, (draws[:, 2] < 0.5) & augment.flip


def crop_draws(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The generator that decides which part of image `index` is cut out in this epoch."""
    return generator(seed, epoch, _CROP, index)


def generator(*entropy: int) -> np.random.Generator:
    """The random numbers of (seed, epoch, stream, place)."""
    return np.random.Generator(np.random.PCG64(entropy))


@dataclass(frozen=True)
class Share:
    """The part of device number `rank` (from 0) when `world` devices train one run."""

    rank: int = 0
    world: int = 1

    def of(self, count: int) -> slice:
        """This device's places among `count`, one contiguous range. The ranges of all devices cover each place once."""
        return slice(count * self.rank // self.world, count * (self.rank + 1) // self.world)


class BatchKeys:
    """The keys of `sampler` in full batches of `size`; of each batch only the places `own`."""

    def __init__(self, sampler: EpochSampler, size: int, own: slice) -> None:
        self._sampler, self._size, self._own = sampler, size, own

    def __len__(self) -> int:
        return len(self._sampler) // self._size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        keys = list(self._sampler)  # fewer than an epoch has when some are skipped
        for start in range(0, len(keys) - self._size + 1, self._size):
            yield keys[start : start + self._size][self._own]
