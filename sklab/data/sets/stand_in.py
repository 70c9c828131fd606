"""Noise in the shape of another data set: a toy run trains on it where the real images are missing.

Nothing can be learnt from it. It shows that a sweep works from its file to its table.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from sklab.data.base import ArraySplit, Splits, ThirdSplit
from sklab.spec import limits
from sklab.spec.data import DataSpec, Images

TRAIN, VAL, TEST = 8, 4, 4  # images


class Spec(DataSpec):
    """Settings of the set. Classes, channels and image size are those of the network's real data.

    version     sklab raises it when the noise changes, so that no old run is taken for a new one
    test        `noise`: there is a third split, as in the set that it stands for (`null`: none)
    stands_for  the settings that this set and a toy's recipe replace: runs that differ in them stay different
    """

    mean: ClassVar[tuple[float, ...]] = (0.5,)  # of uniform noise, for any number of channels
    std: ClassVar[tuple[float, ...]] = (0.289,)
    drawn: ClassVar[bool] = True
    added: ClassVar[frozenset[str]] = frozenset({"test"})

    name: Literal["stand_in"] = "stand_in"
    channels: int = Field(default=3, ge=1, le=limits.CHANNELS)
    image_size: int = Field(default=32, ge=8, le=limits.PIXELS)
    version: Literal[1] = 1
    stands_for: dict[str, Any] = {}
    test: Literal["noise"] | None = None

    @property
    def images(self) -> Images:
        """A few images."""
        return Images(TRAIN, VAL, arrays=True)

    def why_one_split(self) -> Iterator[str]:
        """Nothing: noise split anew is noise."""
        return iter(())

    def split_anew(self, number: int) -> Self:  # noqa: ARG002
        """The same noise."""
        return self

    def at_size(self, size: int) -> Self:
        """The same noise at another image size."""
        return self.model_copy(update={"image_size": size})


def load(spec: Spec) -> Splits:
    """Uniform noise with random labels; with many classes, most have no image."""
    return Splits(_draw(spec, TRAIN, 0), _draw(spec, VAL, 1), tuple(str(label) for label in range(spec.num_classes)))


def load_test(spec: Spec) -> ThirdSplit:
    """A third split of the same kind."""
    return ThirdSplit(_draw(spec, TEST, 2), tuple(str(label) for label in range(spec.num_classes)))


def _draw(spec: Spec, size: int, stream: int) -> ArraySplit:
    random = np.random.Generator(np.random.PCG64(stream))
    images = random.integers(0, 256, (size, spec.channels, spec.image_size, spec.image_size), dtype=np.uint8)
    return ArraySplit(images, random.integers(0, spec.num_classes, size))
