"""Everything random about the images of a run: a pure function of (seed, epoch, place), the same for every model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sklab.spec.train import Augment

_ORDER, _SHIFT_FLIP, _CROP, _MIXUP = range(4)  # independent random streams of one seed and epoch


class EpochSampler:
    """The order of `size` images: another permutation in each epoch, decided by (seed, epoch).

    Iterating gives pairs (epoch, index), so that a worker process needs no other word of the epoch.

    skipped  images at the start of the epoch that the next iteration, and only that, leaves out
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.epoch, self.skipped = size, seed, 0, 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    def permutation(self) -> NDArray[np.int64]:
        """int64 [size]: the images in the order of this epoch."""
        return np.argsort(_random(self.seed, self.epoch, _ORDER).random(self.size), kind="stable")

    def __iter__(self) -> Iterator[tuple[int, int]]:
        start, self.skipped = self.skipped, 0
        return ((self.epoch, index) for index in self.permutation()[start:].tolist())

    def __len__(self) -> int:
        return self.size


def shifts_and_flips(augment: Augment, size: int, seed: int, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """int64 [size, 2] (down, right; each 0 to 2 * pad_crop) and bool [size] for the images in this epoch's order."""
    draws = _random(seed, epoch, _SHIFT_FLIP).random((size, 3))
    shifts = np.floor(draws[:, :2] * (2 * augment.pad_crop + 1)).astype(np.int64)
    return shifts, (draws[:, 2] < 0.5) & augment.flip


def crop_draws(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The generator that decides which part of image `index` is cut in this epoch."""
    return _random(seed, epoch, _CROP, index)


def mixup_draw(alpha: float, size: int, seed: int, epoch: int, batch: int) -> tuple[float, NDArray[np.int64]]:
    """For batch number `batch` of the epoch: what share the images keep, from Beta(alpha, alpha), and int64 [size],
    each image's partner in the batch."""
    random = _random(seed, epoch, _MIXUP, batch)
    return float(random.beta(alpha, alpha)), np.argsort(random.random(size), kind="stable")


def _random(*entropy: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(entropy))
