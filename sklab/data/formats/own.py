"""Data sets of the user's own code, as arrays; and the module of any set, whoever wrote it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklab.data.base import ArraySplit, Splits, ThirdSplit
from sklab.errors import SklabError
from sklab.own.files import called, own
from sklab.spec.data import DataSpec
from sklab.spec.own.parts import OwnData

_FORM = "allowed: images uint8 {shape} with labels [N], or a sequence of pairs of an image and its label"


def module_of(spec: DataSpec) -> Any:
    """The module that loads the set of `spec`."""
    if isinstance(spec, OwnData):
        return sys.modules[__name__]
    return importlib.import_module(f"sklab.data.sets.{spec.name}")


def load(spec: OwnData) -> Splits:
    """The images for training and for validation. Raises SklabError for whatever the user's code raises, and where it
    gives something else."""
    return Splits(_split(spec, "train"), _split(spec, "val"), classes_of(spec))


def list_test(spec: OwnData) -> list[str]:
    """No file: what the third split holds is known once it is read."""
    del spec
    return []


def load_test(spec: OwnData) -> ThirdSplit:
    """The images of the third split. Raises SklabError as `load` does."""
    return ThirdSplit(_split(spec, str(spec.test)), classes_of(spec))


def classes_of(spec: OwnData) -> tuple[str, ...]:
    """The names of the classes, as the file states them. Raises SklabError where that file was not named."""
    classes: tuple[str, ...] = own("data_set", spec.name, spec.code).stated["classes"]
    return classes


def _split(spec: OwnData, name: str) -> ArraySplit:
    """What the user's code gives for the split, checked."""
    given = called(own("data_set", spec.name, spec.code), spec.code, name, **spec.settings)
    images, labels, extras = _parts(given)
    shape = (len(images), spec.channels, spec.image_size, spec.image_size)
    try:
        pixels, numbers = _array(images), np.asarray(labels)
    except (ValueError, TypeError) as error:
        raise _unfit(spec, name, str(error)) from error
    if pixels.dtype != np.uint8 or pixels.shape != shape:
        raise _unfit(spec, name, f"found images {pixels.dtype} {list(pixels.shape)}")
    if numbers.shape != shape[:1] or numbers.dtype.kind not in "iu":
        raise _unfit(spec, name, f"found labels {numbers.dtype} {list(numbers.shape)}")
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < spec.num_classes:
        raise _unfit(spec, name, f"found labels from {numbers.min()} to {numbers.max()} of {spec.num_classes} classes")
    return ArraySplit(np.ascontiguousarray(pixels), numbers.astype(np.int64), extras)


def _parts(given: Any) -> tuple[Any, Any, Mapping[str, NDArray[np.float32]]]:
    """Images, labels and what else is known of each image."""
    if isinstance(given, tuple) and len(given) in (2, 3):
        extras = given[2] if len(given) == 3 else {}
        return given[0], given[1], {name: np.asarray(values, dtype=np.float32) for name, values in extras.items()}
    pairs = [given[place] for place in range(len(given))]
    return [image for image, _ in pairs], [int(label) for _, label in pairs], {}


def _array(images: Any) -> NDArray[Any]:
    """Images [N, C, H, W] of an array or a tensor; or of a list of these, or of pictures [H, W, C]."""
    if not isinstance(images, list):
        return np.asarray(images)
    return np.stack([_one(image) for image in images]) if images else np.zeros((0, 0, 0, 0), dtype=np.uint8)


def _one(image: Any) -> NDArray[Any]:
    array = np.asarray(image)
    if hasattr(image, "getbands"):  # a picture of Pillow
        return array.transpose(2, 0, 1) if array.ndim == 3 else array[None]
    return array


def _unfit(spec: OwnData, name: str, found: str) -> SklabError:
    form = _FORM.format(shape=f"[N, {spec.channels}, {spec.image_size}, {spec.image_size}]")
    return SklabError(f"data set {spec.name!r}, split {name}: {found}; {form}")
