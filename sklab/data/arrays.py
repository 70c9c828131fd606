"""Loaders of data sets that live on the device: batches are cut there, and no process but this one takes part."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sklab.data.augment import Normalise, cut, pad
from sklab.data.base import ArraySplit
from sklab.data.draws import EpochSampler, shifts_and_flips
from sklab.data.share import Share
from sklab.spec.train import TrainSpec


class TrainArrays:
    """Our share of full batches of (images float32 [B, C, H, W], labels int64 [B]), in the epoch's order, augmented."""

    def __init__(
        self, split: ArraySplit, train: TrainSpec, seed: int, normalise: Normalise, device: torch.device, share: Share
    ) -> None:
        self.batch_size, self._ours = train.batch_size, share.of(train.batch_size)
        self.sampler = EpochSampler(len(split.labels), seed)
        self._augment, self._normalise = train.augment, normalise
        self._size = split.images.shape[-1]
        self._padded = pad(torch.from_numpy(split.images).to(device), train.augment.pad_crop)
        self._labels = torch.from_numpy(split.labels).to(device)

    def __len__(self) -> int:
        return len(self.sampler) // self.batch_size

    def skip(self, batches: int) -> None:
        """The next iteration, and only that, leaves out the first `batches` of its epoch."""
        self.sampler.skipped = batches * self.batch_size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        sampler = self.sampler
        first, sampler.skipped = sampler.skipped, 0
        drawn = shifts_and_flips(self._augment, len(sampler), sampler.seed, sampler.epoch)
        order, shifts, flips = (
            torch.from_numpy(values).to(self._labels.device) for values in (sampler.permutation(), *drawn)
        )
        for start in range(first, len(self) * self.batch_size, self.batch_size):
            batch = slice(start + self._ours.start, start + self._ours.stop)
            images = cut(self._padded, order[batch], shifts[batch], flips[batch], self._size)
            yield self._normalise(images), self._labels[order[batch]]


class ValArrays:
    """Batches of (images, labels) as they stand, in the set's own order; the last one may be smaller."""

    def __init__(self, split: ArraySplit, train: TrainSpec, normalise: Normalise, device: torch.device) -> None:
        self.batch_size = train.batch_size
        self._normalise = normalise
        self._images = torch.from_numpy(split.images).to(device)
        self._labels = torch.from_numpy(split.labels).to(device)

    def __len__(self) -> int:
        return -(-len(self._labels) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        batches = zip(
            torch.split(self._images, self.batch_size), torch.split(self._labels, self.batch_size), strict=True
        )
        return ((self._normalise(images), labels) for images, labels in batches)
