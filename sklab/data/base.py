"""What a data set gives: two splits, either as arrays in memory or as image files to decode on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ArraySplit:
    """Images small enough to live on the device at once.

    images  uint8 [N, C, H, W]
    labels  int64 [N], counted from 0
    extras  what else is known of each image, float32 [N] by name (such as the size of the object)
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    extras: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True)
class FileSplit:
    """Image files, decoded anew at every use.

    labels  int64 [N], counted from 0
    resize  pixels of the shorter side before the middle is cut out, where nothing is random
    """

    files: tuple[str, ...]
    labels: NDArray[np.int64]
    resize: int


Split = ArraySplit | FileSplit


@dataclass(frozen=True)
class Splits:
    """A data set. `classes[label]` is the name of a class."""

    train: Split
    val: Split
    classes: tuple[str, ...]
