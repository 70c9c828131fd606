"""Loaders of batches on a device from a data spec and a recipe.

A set of arrays stays on the device and is cut into batches there, without other processes; `batches` loads files.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sklab.data.augment import EpochSampler, Normalise, Share, cut, pad, shifts_and_flips
from sklab.data.base import ArraySplit, FileSplit, Splits, sources_of, subset
from sklab.data.batches import TrainFiles, ValFiles
from sklab.data.cache import load_splits
from sklab.data.changes.policies import Changes
from sklab.data.check import ensure_fits
from sklab.spec.data import DataSpec, Fingerprint
from sklab.spec.train import TrainSpec
from sklab.system.terminal import quantity

_log = logging.getLogger(__name__)


class Loader(Protocol):
    """Gives batches (images float32 [B, C, H, W], normalised; labels int64 [B]) on the device.

    A training loader gives its device's share of every batch; its `batch_size` is that of all devices together. It also
    has a `sampler`, whose `set_epoch` chooses the epoch of the next iteration, and `skip(k)`: the next iteration (and
    only that one) then starts at batch k (from 0) of its epoch, with the same batches as in a whole epoch. `len` stays
    that of a whole epoch.
    """

    batch_size: int

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]: ...


class Facts(NamedTuple):
    """The facts about a run's data; its record has them under the same names.

    skipped_images  how many images of both splits were left out because they can't be decoded
    val_images      of the whole validation split, of all devices together
    guessing_error  the error in % of always naming the most frequent class of these
    fingerprint     of what the set holds; None if its settings alone decide that
    """

    skipped_images: int = 0
    val_images: int = 0
    guessing_error: float = 0.0
    fingerprint: Fingerprint | None = None


@dataclass(frozen=True)
class Loaders:
    """The loaders of a run on one device, and the facts of its data. `val_labels[i]` and `val_extras[name][i]` belong
    to the i-th image of `val`, `val_sources[i]` to the i-th of all devices together (see `base.sources_of`)."""

    train: Loader
    val: Loader
    classes: tuple[str, ...]
    val_labels: NDArray[np.int64]
    facts: Facts
    val_extras: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    val_sources: NDArray[Any] | None = None


def open_loaders(
    spec: DataSpec,
    train: TrainSpec,
    seed: int,
    device: torch.device,
    share: Share = Share(),  # noqa: B008 - frozen
) -> Loaders:
    """Loaders for `share` of the data set `spec`: a share of every training batch, and of the validation images.

    `seed` decides only order and augmentation, as the recipe varies them; both are the same on every device.
    Raises SklabError when the data are missing or not as the spec says, or do not go with the recipe.
    """
    return loaders_of(spec, load_splits(spec), train, seed, device, share)


def loaders_of(
    spec: DataSpec,
    splits: Splits,
    train: TrainSpec,
    seed: int,
    device: torch.device,
    share: Share = Share(),  # noqa: B008 - frozen
) -> Loaders:
    """`open_loaders` of the data set that was loaded as `splits`."""
    ensure_fits(spec, splits, train)
    _log_skipped(spec, splits)
    normalise = Normalise(spec, train, device)
    facts = _facts(splits)
    per_device = train.model_copy(update={"batch_size": train.batch_size // train.devices})
    match splits.train, splits.val:
        case ArraySplit() as trained, ArraySplit() as held_out:
            part = _part_of_arrays(held_out, share)
            return Loaders(
                TrainArrays(trained, train, seed, normalise, share),
                ValArrays(part, per_device, normalise),
                splits.classes,
                part.labels,
                facts,
                part.extras,
                sources_of(held_out),
            )
        case FileSplit() as trained, FileSplit() as held_out_files:
            part_of_files = _part_of_files(held_out_files, share)
            return Loaders(
                TrainFiles(trained, spec.image_size, train, seed, normalise, share),
                ValFiles(part_of_files, spec.image_size, per_device, normalise),
                splits.classes,
                part_of_files.labels,
                facts,
                val_sources=sources_of(held_out_files),
            )
        case _:
            raise TypeError(f"data set {spec.name}: both splits must be of one kind")


def _facts(splits: Splits) -> Facts:
    labels = splits.val.labels
    others = len(labels) - int(np.bincount(labels).max(initial=0))
    fingerprint = splits.inventory.fingerprint if splits.inventory else None
    return Facts(len(splits.skipped), len(labels), 100 * others / max(len(labels), 1), fingerprint)


def _part_of_arrays(split: ArraySplit, share: Share) -> ArraySplit:
    chosen = share.of(len(split.labels))
    extras = {name: values[chosen] for name, values in split.extras.items()}
    return replace(split, images=split.images[chosen], labels=split.labels[chosen], extras=extras)


def _part_of_files(split: FileSplit, share: Share) -> FileSplit:
    count = len(split.labels)
    return subset(split, np.arange(count)[share.of(count)])


def _log_skipped(spec: DataSpec, splits: Splits) -> None:
    """Write the names of skipped images into the run's log."""
    if splits.skipped:
        names, left_out = ", ".join(splits.skipped), quantity(len(splits.skipped), "image")
        _log.warning("data set %s: left out %s that can't be decoded: %s", spec.name, left_out, names)


class EpochDraws(NamedTuple):
    """The random draws for an epoch of N images, on the device: order int64 [N], and in that order shifts int64 [N, 2]
    and flips bool [N]."""

    order: Tensor
    shifts: Tensor
    flips: Tensor


class TrainArrays:
    """Our share of full batches of (images float32 [B, C, H, W], labels int64 [B]), augmented, in epoch order.

    side  of the images, in pixels
    """

    def __init__(self, split: ArraySplit, train: TrainSpec, seed: int, normalise: Normalise, share: Share) -> None:
        self.batch_size, self._own = train.batch_size, share.of(train.batch_size)
        sources = train.sources(seed)
        self.sampler, self._augment_seed = EpochSampler(len(split.labels), sources.order), sources.augment
        self.device = normalise.device
        self._augment, self._normalise = train.augment, normalise
        self._changes = Changes(train.augment, sources.augment) if train.libraries or train.augment.own else None
        # What torchvision or own code changes is cut on the CPU, so that no image waits for a GPU.
        self._held = torch.device("cpu") if self._changes else self.device
        self.side = split.images.shape[-1]
        self._padded = pad(torch.from_numpy(split.images).to(self._held), train.augment.pad_crop)
        self._labels = torch.from_numpy(split.labels).to(self._held)

    def __len__(self) -> int:
        return len(self.sampler) // self.batch_size

    def skip(self, batches: int) -> None:
        """The next iteration (and only that one) leaves out the first `batches` of its epoch."""
        self.sampler.skipped = batches * self.batch_size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        sampler = self.sampler
        first, sampler.skipped = sampler.skipped, 0
        draws = self.draws(sampler.epoch)
        for start in range(first, len(self) * self.batch_size, self.batch_size):
            yield self.batch(draws, slice(start + self._own.start, start + self._own.stop))

    def draws(self, epoch: int) -> EpochDraws:
        """The random draws for `epoch`, counted from 0."""
        sampler = self.sampler
        sampler.set_epoch(epoch)
        drawn = shifts_and_flips(self._augment, len(sampler), self._augment_seed, epoch)
        return EpochDraws(*(torch.from_numpy(values).to(self._held) for values in (sampler.permutation(), *drawn)))

    def batch(self, draws: EpochDraws, places: slice | Tensor) -> tuple[Tensor, Tensor]:
        """The images and labels at these places of the epoch's order."""
        order = draws.order[places]
        images = cut(self._padded, order, draws.shifts[places], draws.flips[places], self.side)
        if self._changes is None:
            return self._normalise(images), self._labels[order]
        epoch, numbers = self.sampler.epoch, order.tolist()
        images = self._sent(self._changes.by_policy(images, epoch, numbers))
        return self._changes.erased(self._normalise(images), epoch, numbers), self._sent(self._labels[order])

    def _sent(self, tensor: Tensor) -> Tensor:
        """On the device, which is not waited for."""
        held = tensor.pin_memory() if self.device.type == "cuda" else tensor
        return held.to(self.device, non_blocking=True)


class ValArrays:
    """Batches of (images, labels), not augmented, in the set's order; the last batch may be smaller."""

    def __init__(self, split: ArraySplit, train: TrainSpec, normalise: Normalise) -> None:
        self.batch_size = train.batch_size
        self.device = normalise.device
        self._normalise = normalise
        self._images = torch.from_numpy(split.images).to(self.device)
        self.labels = torch.from_numpy(split.labels).to(self.device)

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        starts = range(0, len(self.labels), self.batch_size)
        return (self.batch(slice(start, start + self.batch_size)) for start in starts)

    def batch(self, places: slice | Tensor) -> tuple[Tensor, Tensor]:
        """The images and labels at these places of the set."""
        return self._normalise(self._images[places]), self.labels[places]
