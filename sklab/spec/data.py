"""The settings of a data set, and its fingerprint. The sets are modules of `sklab.data.sets`, one file each.

Two sets with equal settings and equal fingerprints are the same data.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from typing import ClassVar, NamedTuple, Self

from pydantic import Field, ValidationError

import sklab.data.sets
from sklab.errors import SklabError
from sklab.spec import limits
from sklab.spec.values import Value
from sklab.system.terminal import quantity

_SHOWN = 5  # changes in a message


class Images(NamedTuple):
    """Numbers of training and validation images, and whether they are arrays or files to decode."""

    train: int
    val: int
    arrays: bool


class DataSpec(Value):
    """Base of every data set's `Spec`.

    name       the data set: a module in `sklab.data.sets`
    mean, std  normalisation of pixels (0 to 1), per channel
    places     fields that say where the data are, not what they are: no part of a run's identity
    drawn      whether the settings alone decide every image; for all other sets runs keep a fingerprint
    beside     fields that change nothing of the images of training and validation: no part of a run's identity either

    num_classes  number of classes
    channels     channels of an image
    image_size   pixels a side of the network's input
    title        name of the data in tables (ImageNet-1k), where `name` says only how they are stored
    """

    mean: ClassVar[tuple[float, ...]]
    std: ClassVar[tuple[float, ...]]
    places: ClassVar[frozenset[str]] = frozenset()
    drawn: ClassVar[bool] = False
    beside: ClassVar[frozenset[str]] = frozenset({"title"})

    name: str
    num_classes: int = Field(ge=2, le=limits.CLASSES)
    channels: int = Field(ge=1, le=limits.CHANNELS)
    image_size: int = Field(ge=8, le=limits.PIXELS)
    title: str = ""

    def identity(self) -> str:
        """The settings that say what the data are, not where they are, as JSON."""
        return self.model_dump_json(exclude=set(self.unkeyed))

    @property
    def unkeyed(self) -> frozenset[str]:
        """The fields that are no part of a run's identity."""
        return self.places | self.beside

    @property
    def has_test(self) -> bool:
        """Whether there is a third split (`data.test`), which nothing reads before all runs have ended."""
        return getattr(self, "test", None) is not None

    @property
    def images(self) -> Images | None:
        """The numbers of images, if the settings alone decide them."""
        return None

    def classes_held(self) -> int | None:
        """The number of classes that the files hold, whatever `num_classes` says; None where the files don't tell.
        Raises SklabError where they can't be read."""
        return None

    def why_one_split(self) -> Iterator[str]:
        """Why the split into training and validation images can't be drawn anew; nothing where it can."""
        yield f"data set {self.name} has one split, which can't be drawn anew"

    def split_anew(self, number: int) -> Self:
        """The set with its split drawn for the `number`th time; 0 is the split that is stated."""
        raise NotImplementedError(f"data set {self.name} has one split")

    @property
    def on_device(self) -> bool:
        """Whether the images stay on the device, as arrays."""
        return self.images.arrays if self.images else bool(getattr(self, "in_memory", False))

    def at_size(self, size: int) -> Self:
        """The set at `size` pixels a side. If images are resized and cut, the share that is cut out stays the same.

        Raises SklabError if the set's images have one size only, or can't have this size.
        """
        if size == self.image_size:
            return self
        changed = self.at(size)
        if not changed:
            raise SklabError(f"data set {self.name}: image size {size} is not possible; allowed: {self.image_size}")
        try:
            return self.model_validate({**self.model_dump(), **changed})
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise SklabError(f"data set {self.name}: image size {size} is not possible: {reason}") from error

    def at(self, size: int) -> dict[str, int]:
        """The settings that differ at `size` pixels a side; nothing if the images have one size only."""
        resize = getattr(self, "resize", None)
        return {"image_size": size, "resize": round(size * resize / self.image_size)} if resize else {}


@cache  # called for every record read
def data_sets() -> tuple[str, ...]:
    """Names of the available data sets."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(sklab.data.sets.__path__)))


def data_spec(name: str) -> type[DataSpec]:
    """The `Spec` of the data set called `name`. Raises ModuleNotFoundError if there is none."""
    spec: type[DataSpec] = importlib.import_module(f"sklab.data.sets.{name}").Spec
    return spec


class Fingerprint(Value):
    """Decides whether two data sets hold the same images, wherever these are. Each is 16 hex digits of a SHA-256.

    listing   class names and, image by image in order, class, path below the set's folder and size
    sample    contents of up to 1,024 images, spread evenly
    contents  contents of all images; "" if not all were read, as in large sets
    """

    listing: str
    sample: str
    contents: str = ""

    def same_as(self, other: Fingerprint) -> bool:
        """Whether both are the same data, as far as they were read."""
        both_read = self.contents and other.contents
        same = (self.listing, self.sample) == (other.listing, other.sample)
        return same and (not both_read or self.contents == other.contents)


def surely_differ(first: Fingerprint | None, second: Fingerprint | None) -> bool:
    """Whether two sets are certainly different data. If a fingerprint is missing, nothing is certain."""
    return first is not None and second is not None and not first.same_as(second)


class Group(Value):
    """The images of one class of one split; `digest` stands for their paths and sizes."""

    images: int
    digest: str


class Inventory(Value):
    """A fingerprint, and the groups by `split/class`, which show what has changed."""

    fingerprint: Fingerprint
    groups: dict[str, Group]


def changes(before: Inventory, now: Inventory) -> tuple[str, ...]:
    """The differences now, a line each ("12 images more in train/wren"); empty for the same data."""
    if before.fingerprint.same_as(now.fingerprint):
        return ()
    lines = list(_changes(before, now)) or ["other contents of images whose names and sizes are as before"]
    more = [f"and {len(lines) - _SHOWN} more changes"] if len(lines) > _SHOWN else []
    return (*lines[:_SHOWN], *more)


def _changes(before: Inventory, now: Inventory) -> Iterator[str]:
    for name in sorted({*before.groups, *now.groups}):
        old, new = before.groups.get(name), now.groups.get(name)
        if old == new:
            continue
        if old is None or new is None:
            yield f"{name} is gone" if new is None else f"{name} is new"
        elif old.images == new.images:
            yield f"as many images in {name}, but others"
        else:
            more = "more" if new.images > old.images else "fewer"
            yield f"{quantity(abs(new.images - old.images), 'image')} {more} in {name}"
