"""What a data set says about itself. The sets are the modules of `sklab.data.sets`, one file each."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, NamedTuple, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError
from pydantic_core import PydanticCustomError

import sklab.data.sets
from sklab.errors import SklabError
from sklab.spec import limits
from sklab.spec.names import did_you_mean
from sklab.spec.values import Value


class Images(NamedTuple):
    """How many images of training and of validation there are, and whether they are arrays or files to decode."""

    train: int
    val: int
    arrays: bool


class DataSpec(Value):
    """Base of every data set's `Spec`. `name` is the module in `sklab.data.sets`.

    mean, std  what pixels (of 0 to 1) are normalised by, per channel
    places     fields that say where the data lie, not what they are: no part of a run's identity
    drawn      whether the settings alone decide every image; of all other sets runs keep a fingerprint
    title      what tables call the data (ImageNet-1k), where `name` says only how they are kept; nor is it a part
    """

    mean: ClassVar[tuple[float, ...]]
    std: ClassVar[tuple[float, ...]]
    places: ClassVar[frozenset[str]] = frozenset()
    drawn: ClassVar[bool] = False

    name: str
    num_classes: int = Field(ge=2, le=limits.CLASSES)
    channels: int = Field(ge=1, le=limits.CHANNELS)
    image_size: int = Field(ge=8, le=limits.PIXELS)
    title: str = ""

    def identity(self) -> str:
        """What the data are, without where they lie, as JSON."""
        return self.model_dump_json(exclude={*self.places, "title"})

    @property
    def images(self) -> Images | None:
        """What there is of them, where the settings alone tell."""
        return None

    def at_size(self, size: int) -> Self:
        """The set seen at `size` pixels a side; where images are resized and cut, the share that is cut stays.

        Raises SklabError when the set's images have one size only, or can't have this one.
        """
        if size == self.image_size:
            return self
        resize = getattr(self, "resize", None)
        if resize is None:
            raise SklabError(f"data set {self.name}: image size {size} is not possible; allowed: {self.image_size}")
        wider = {"image_size": size, "resize": round(size * resize / self.image_size)}
        try:
            return self.model_validate({**self.model_dump(), **wider})
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise SklabError(f"data set {self.name}: image size {size} is not possible: {reason}") from error


@cache  # asked for every record read
def data_sets() -> tuple[str, ...]:
    """Names of the data sets at hand."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(sklab.data.sets.__path__)))


def data_spec(name: str) -> type[DataSpec]:
    """The `Spec` of the data set called `name`. Raises ModuleNotFoundError when there is none."""
    spec: type[DataSpec] = importlib.import_module(f"sklab.data.sets.{name}").Spec
    return spec


def _find(raw: Any) -> Any:
    if not isinstance(raw, Mapping):
        return raw
    name = raw.get("name")
    if name not in data_sets():
        allowed = ", ".join(data_sets())
        context = {"expected": allowed, "found": repr(name), "hint": did_you_mean(str(name), data_sets())}
        raise PydanticCustomError("unknown_data", "unknown data set {found}; known: {expected}", context)
    return data_spec(str(name)).model_validate(raw)


# A mapping with a `name` becomes the `Spec` of that data set.
AnyData = Annotated[SerializeAsAny[DataSpec], BeforeValidator(_find)]
