"""The settings of a data set that its files decide, where an experiment leaves them out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from sklab.data.base import FileSplit, ImagesSpec, Picture
from sklab.data.formats.encoded import FORMATS
from sklab.data.kept import load_undecoded
from sklab.errors import SklabError
from sklab.spec.data import DataSpec, data_spec
from sklab.store.files import is_regular

SAMPLE = 256  # images whose sides are looked at
SMALLEST, LARGEST, STEP = 32, 224, 16  # pixels a side that are inferred
_LARGER = 8 / 7  # `resize` for an image size, as 256 is for 224


def inferred(given: Mapping[str, Any]) -> dict[str, Any]:
    """`num_classes` and `image_size` (with `resize`) of the data set with the settings `given`, as far as these leave
    them out and the set knows them: from its files, or because it has one value.

    The image size of a set of files stays its default where the files can't be read here and all else is stated.
    Raises SklabError where the number of classes can't be read, and pydantic.ValidationError for other faulty settings.
    """
    kind = data_spec(given["name"])
    left_out = [key for key in ("num_classes", "image_size") if key not in given]
    if not left_out:
        return {}
    if not issubclass(kind, ImagesSpec):
        return dict(_known(kind, given, left_out))
    found: dict[str, Any] = {}
    if "num_classes" in left_out:
        held = kind.model_validate({**_harmless(given), "num_classes": 2}).classes_held()
        found = {} if held is None else {"num_classes": held}
    return found | _sizes(kind, {**given, **found}) if "image_size" in left_out else found


def _known(kind: type[DataSpec], given: Mapping[str, Any], left_out: list[str]) -> Iterator[tuple[str, Any]]:
    required = [name for name in left_out if kind.model_fields[name].is_required()]
    yield from ((name, kind.model_fields[name].default) for name in left_out if name not in required)
    if "num_classes" in required and (held := kind.model_validate({**given, "num_classes": 2}).classes_held()):
        yield "num_classes", held


def _harmless(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"image_size": 8, **given}


def _sizes(kind: type[ImagesSpec], given: Mapping[str, Any]) -> dict[str, Any]:
    with suppress(SklabError):  # data that only a cluster's machines can read
        train = load_undecoded(kind.model_validate(_harmless(given))).train
        if isinstance(train, FileSplit) and (size := size_for(list(_shorter_sides(train)))):
            resize = given.get("resize")
            return {"image_size": min(size, resize)} if resize else {"image_size": size, "resize": resize_for(size)}
    return {}


def size_for(shorter_sides: list[int]) -> int | None:
    """The image size for images with these shorter sides: their median, down to a multiple of 16, from 32 to 224."""
    if not shorter_sides:
        return None
    return int(min(LARGEST, max(SMALLEST, median(shorter_sides) // STEP * STEP)))


def resize_for(size: int) -> int:
    """`resize` for an image size: 256 for 224."""
    return round(size * _LARGER)


def _shorter_sides(split: FileSplit) -> Iterator[int]:
    """Of at most 256 images, spread evenly; those that can't be read are left out."""
    count = len(split.labels)
    for place in np.linspace(0, count - 1, min(SAMPLE, count)).astype(int):
        with suppress(Exception):  # decoders of broken files raise almost anything
            yield _shorter_side(split.files[int(place)])


def _shorter_side(picture: Picture) -> int:
    """From the head of the file alone."""
    if isinstance(picture, str) and not is_regular(Path(picture)):  # reading a pipe would wait
        raise ValueError(picture)
    with Image.open(picture if isinstance(picture, str) else BytesIO(picture.data), formats=FORMATS) as image:
        return min(image.size)
