"""The content of a data set: two splits, as arrays in memory or as encoded images that are decoded when used.

All sets of encoded images share some settings, whatever kind of file contains them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from sklab.spec import limits
from sklab.spec.data import DataSpec, Inventory
from sklab.spec.values import Seq, ensure_no_broken_rule

_SHOWN = 5  # names in a message
LARGEST_IN_MEMORY = 64  # pixels of a side


@dataclass(frozen=True)
class ArraySplit:
    """Images small enough to live on the device at once.

    images  uint8 [N, C, H, W]
    labels  int64 [N], counted from 0
    extras  further numbers about each image, float32 [N] by name (such as the size of the object); those called
            `source` are the same for images that have a common source (a digit, a patient)
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    extras: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


class Encoded(NamedTuple):
    """An image as the bytes of its file. `name` says where the image is, for messages."""

    name: str
    data: bytes


Picture = str | Encoded  # a str is the path of an image file


def name_of(picture: Picture) -> str:
    """Where a picture is, for messages."""
    return picture if isinstance(picture, str) else picture.name


def first_names(names: Sequence[str]) -> str:
    """The first few of many names, for messages."""
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


class Pictures(Protocol):
    """Encoded images by number. Each worker process gets a copy."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Picture: ...


@dataclass(frozen=True)
class FileSplit:
    """Encoded images, decoded again at every use.

    files   one picture per image
    labels  int64 [N], counted from 0
    resize  pixels of the shorter side before the middle is cut out, if the crop is not random
    upright whether images are turned as their EXIF orientation says
    sources int64 [N], the same for images that have a common source (a patient); None where each is its own
    """

    files: Pictures
    labels: NDArray[np.int64]
    resize: int
    upright: bool = False
    sources: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Subset:
    """The pictures of `files` at `places` int64 [n]."""

    files: Pictures
    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int, /) -> Picture:
        return self.files[int(self.places[index])]


def subset(split: FileSplit, places: NDArray[np.int64]) -> FileSplit:
    """The images of `split` at `places`."""
    sources = None if split.sources is None else split.sources[places]
    return replace(split, files=Subset(split.files, places), labels=split.labels[places], sources=sources)


Split = ArraySplit | FileSplit


class ThirdSplit(NamedTuple):
    """The third split, with the names of the classes by which its labels count."""

    images: Split
    classes: tuple[str, ...]


def sources_of(split: Split) -> NDArray[Any] | None:
    """[N]: equal numbers for images that have a common source; None where each is its own."""
    return split.sources if isinstance(split, FileSplit) else split.extras.get("source")


@dataclass(frozen=True)
class Splits:
    """A data set. `classes[label]` is the name of a class.

    skipped      names of the images that could not be decoded
    passed_over  files beside the images that are not read, a line per folder
    inventory    of all images, before any was left out; None if the settings alone decide the images
    """

    train: Split
    val: Split
    classes: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()
    inventory: Inventory | None = None


class ImagesSpec(DataSpec):
    """Settings of a set of encoded images.

    image_size    pixels a side of the network's input
    resize        pixels of the shorter side before the middle is cut out, for evaluation
    in_memory     every image has `image_size` x `image_size` pixels (at most 64): all are decoded once and stay on the
                  device
    skip_corrupt  images that can't be decoded are left out and named; otherwise they end the run
    exif          images are turned as their EXIF orientation says, or not, as in the usual loaders of ImageNet
    version       sklab raises it when decoding gives other pixels, so that no old run is taken for a new one
    mean, std     normalisation of pixels (0 to 1), a number for each channel; by default that of ImageNet's training
                  pixels, which everyone uses, so that weights can be exchanged
    """

    added: ClassVar[frozenset[str]] = frozenset({"in_memory", "skip_corrupt", "exif", "mean", "std"})
    beside: ClassVar[frozenset[str]] = frozenset({"title", "test"})

    version: Literal[2] = 2
    channels: Literal[3] = 3
    image_size: int = Field(default=224, ge=8, le=limits.PIXELS)
    resize: int = Field(default=256, ge=8, le=2 * limits.PIXELS)
    in_memory: bool = False
    skip_corrupt: bool = False
    exif: Literal["apply", "ignore"] = "ignore"
    mean: Seq[float] = (0.485, 0.456, 0.406)  # type: ignore[misc]  # in other sets a class variable
    std: Seq[float] = (0.229, 0.224, 0.225)  # type: ignore[misc]

    @model_validator(mode="after")
    def _holds(self) -> Self:
        ensure_no_broken_rule(self._broken())
        return self

    def _broken(self) -> Iterator[str]:
        if self.resize < self.image_size:
            yield f"resize = {self.resize} is less than image_size = {self.image_size}; allowed: {self.image_size} up"
        if self.in_memory and self.image_size > LARGEST_IN_MEMORY:
            yield f"in_memory is for image_size <= {LARGEST_IN_MEMORY}; found {self.image_size}"
        if not (len(self.mean) == len(self.std) == self.channels and min(self.std) > 0):
            yield f"mean and std are {self.channels} numbers each, those of std above 0"
