"""From a data spec and a recipe to batches on a device."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sklab.data.arrays import TrainArrays, ValArrays
from sklab.data.augment import Normalise
from sklab.data.base import ArraySplit, FileSplit, Splits
from sklab.data.cache import load_splits
from sklab.data.files import TrainFiles, ValFiles
from sklab.errors import SklabError
from sklab.spec.data import DataSpec
from sklab.spec.train import TrainSpec

_SHOWN = 5  # names in a message
_log = logging.getLogger(__name__)


class Loader(Protocol):
    """Gives batches (images float32 [B, C, H, W], normalised; labels int64 [B]) on the device.

    A training loader has a `sampler` too, whose `set_epoch` chooses the epoch that the next iteration gives.
    """

    batch_size: int

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]: ...


@dataclass(frozen=True)
class Loaders:
    """The loaders of a run. `val_labels[i]` and `val_extras[name][i]` belong to the i-th image that `val` gives."""

    train: Loader
    val: Loader
    classes: tuple[str, ...]
    val_labels: NDArray[np.int64]
    val_extras: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


def open_loaders(spec: DataSpec, train: TrainSpec, seed: int, device: torch.device) -> Loaders:
    """Loaders of the data set `spec`. `seed` moves order and augmentation only; both are the same on every device.

    Raises SklabError when the data are missing or not as the spec says, or do not go with the recipe.
    """
    splits = load_splits(spec)
    _check(spec, splits, train)
    _tell_skipped(spec, splits)
    normalise = Normalise(spec, train, device)
    match splits.train, splits.val:
        case ArraySplit() as ours, ArraySplit() as held_out:
            return Loaders(
                TrainArrays(ours, train, seed, normalise, device),
                ValArrays(held_out, train, normalise, device),
                splits.classes,
                held_out.labels,
                held_out.extras,
            )
        case FileSplit() as ours, FileSplit() as held_out:
            return Loaders(
                TrainFiles(ours, spec.image_size, train, seed, normalise, device),
                ValFiles(held_out, spec.image_size, train, normalise, device),
                splits.classes,
                held_out.labels,
            )
        case _:
            raise TypeError(f"data set {spec.name}: both splits must be of one kind")


def _tell_skipped(spec: DataSpec, splits: Splits) -> None:
    """Into the run's log."""
    if splits.skipped:
        first = ", ".join(splits.skipped[:_SHOWN]) + (", …" if len(splits.skipped) > _SHOWN else "")
        _log.warning("data set %s: left out %d images that can't be decoded: %s", spec.name, len(splits.skipped), first)


def _check(spec: DataSpec, splits: Splits, train: TrainSpec) -> None:
    images = len(splits.train.labels)
    if not len(splits.val.labels):
        raise SklabError(f"data set {spec.name}: the val split has no images")
    if images < train.batch_size:
        raise SklabError(
            f"data set {spec.name}: train.batch_size = {train.batch_size} but the train split has {images} images; "
            f"allowed: 2 to {images}"
        )
    if isinstance(splits.train, ArraySplit) and train.augment.random_resized_crop is not None:
        raise SklabError(
            f"data set {spec.name}: train.augment.random_resized_crop = {list(train.augment.random_resized_crop)} "
            f"is for image files; allowed here: pad_crop and flip"
        )
