"""What a data set gives: two splits, either as arrays in memory or as encoded images to decode on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sklab.spec.data import Inventory

_SHOWN = 5  # names in a message


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


class Encoded(NamedTuple):
    """An image as the bytes of its file. `name` says where it lies, for messages."""

    name: str
    data: bytes


Picture = str | Encoded  # a str is the path of an image file


def name_of(picture: Picture) -> str:
    """Where a picture lies, for messages."""
    return picture if isinstance(picture, str) else picture.name


def some(names: Sequence[str]) -> str:
    """The first few of many names, for messages."""
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


class Pictures(Protocol):
    """Encoded images by number. A worker process gets a copy."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Picture: ...


@dataclass(frozen=True)
class FileSplit:
    """Encoded images, decoded anew at every use.

    files   one picture per image
    labels  int64 [N], counted from 0
    resize  pixels of the shorter side before the middle is cut out, where nothing is random
    upright whether images are turned as their EXIF orientation says
    """

    files: Pictures
    labels: NDArray[np.int64]
    resize: int
    upright: bool = False


@dataclass(frozen=True)
class Chosen:
    """The pictures of `files` at `places` int64 [n]."""

    files: Pictures
    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int, /) -> Picture:
        return self.files[int(self.places[index])]


def only(split: FileSplit, places: NDArray[np.int64]) -> FileSplit:
    """The images of `split` at `places`."""
    return replace(split, files=Chosen(split.files, places), labels=split.labels[places])


Split = ArraySplit | FileSplit


@dataclass(frozen=True)
class Splits:
    """A data set. `classes[label]` is the name of a class.

    skipped      names of the images that could not be decoded
    passed_over  what lies beside the images and is not read, a line per place
    inventory    what was there before any image was left out, None where the settings alone decide that
    """

    train: Split
    val: Split
    classes: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()
    inventory: Inventory | None = None
