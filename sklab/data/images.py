"""What all sets of encoded images share: their settings, whatever kind of file holds them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from sklab.spec import limits
from sklab.spec.data import DataSpec
from sklab.spec.values import Seq, ensure_none

LARGEST_IN_MEMORY = 64  # pixels of a side


class ImagesSpec(DataSpec):
    """Settings of a set of encoded images.

    image_size    pixels of a side, of what the network sees
    resize        pixels of the shorter side before the middle is cut out, for evaluation
    in_memory     every image has `image_size` x `image_size` pixels (at most 64): decoded once, kept on the device
    skip_corrupt  images that can't be decoded are left out and named, instead of ending the run
    exif          whether images are turned as their EXIF orientation says; ImageNet's usual loaders ignore it
    version       raised when the pixels that a file becomes change: no old run is taken for a new one
    mean, std     what pixels (of 0 to 1) are normalised by; by default those of ImageNet's training pixels (RGB),
                  what everyone normalises by, so that weights can be exchanged
    """

    added: ClassVar[frozenset[str]] = frozenset({"in_memory", "skip_corrupt", "exif", "mean", "std"})

    version: Literal[2] = 2
    channels: Literal[3] = 3
    image_size: int = Field(default=224, ge=8, le=limits.PIXELS)
    resize: int = Field(default=256, ge=8, le=2 * limits.PIXELS)
    in_memory: bool = False
    skip_corrupt: bool = False
    exif: Literal["apply", "ignore"] = "ignore"
    mean: Seq[float] = (0.485, 0.456, 0.406)  # type: ignore[misc]  # a class variable where there is no choice
    std: Seq[float] = (0.229, 0.224, 0.225)  # type: ignore[misc]

    @model_validator(mode="after")
    def _holds(self) -> Self:
        ensure_none(self._broken())
        return self

    def _broken(self) -> Iterator[str]:
        if self.resize < self.image_size:
            yield f"resize = {self.resize} is less than image_size = {self.image_size}; allowed: {self.image_size} up"
        if self.in_memory and self.image_size > LARGEST_IN_MEMORY:
            yield f"in_memory is for image_size <= {LARGEST_IN_MEMORY}; found {self.image_size}"
        if not (len(self.mean) == len(self.std) == self.channels and min(self.std) > 0):
            yield f"mean and std are {self.channels} numbers each, those of std above 0"
