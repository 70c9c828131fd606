"""What there is to say about a set of images that nobody would notice otherwise, read without torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import numpy as np

from sklab.data.base import FileSplit, Splits, only
from sklab.data.formats import content
from sklab.data.images import ImagesSpec
from sklab.data.orientation import UPRIGHT, orientation
from sklab.errors import SklabError
from sklab.spec.data import DataSpec

SAMPLE = 64  # images of a split that are opened: a million would take minutes
_TURNED = {
    "apply": "they are turned upright (data.exif: apply)",
    "ignore": "it is ignored, so they may lie on their side; data.exif: apply turns them upright",
}


def notices(spec: DataSpec, splits: Splits) -> tuple[str, ...]:
    """A line each: what is passed over, and how many of a few images carry an EXIF orientation. None is decoded."""
    lines = [*splits.passed_over]
    if isinstance(spec, ImagesSpec):
        splits_of_files = (split for split in (splits.train, splits.val) if isinstance(split, FileSplit))
        turned = [seen for split in splits_of_files for seen in _turned(few(split))]
        lines += about_orientation(spec, sum(turned), len(turned))
    return named(spec, lines)


def about_orientation(spec: ImagesSpec, turned: int, opened: int) -> Iterator[str]:
    """That so many of the images opened carry one, if any does."""
    if turned:
        yield f"{turned:,} of the {opened:,} images opened carry an EXIF orientation: {_TURNED[spec.exif]}"


def few(split: FileSplit) -> FileSplit:
    """At most 64 images of the split, spread evenly over its classes."""
    return only(split, np.linspace(0, len(split.labels) - 1, min(SAMPLE, len(split.labels))).astype(int))


def named(spec: DataSpec, lines: list[str]) -> tuple[str, ...]:
    """The lines with the set's name."""
    return tuple(f"data set {spec.name}: {line}" for line in lines)


def _turned(split: FileSplit) -> Iterator[bool]:
    """Of each image that can be read."""
    for place in range(len(split.files)):
        with suppress(SklabError), content(split.files[place]) as data:
            yield orientation(data) != UPRIGHT
