"""The image files in a folder, and how many other files lie beside them. None is opened."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

READ = tuple(".avif .bmp .gif .jfif .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split())  # noqa: SIM905
# Image formats that are not read, also raw formats of cameras; and files without a suffix, which may be images.
UNREAD = ("", *".arw .cr2 .cr3 .dng .eps .exr .heic .heif .hif .jp2 .jxl .nef .orf .psd .raf .raw .svg .tga".split())  # noqa: SIM905
IMAGES = frozenset({*READ, *UNREAD} - {""})
DEEPER = "in sub-folders"


class Listing(NamedTuple):
    """The paths of a folder's images, sorted by name, and how many files of which kind are not read."""

    images: list[str]
    passed_over: Counter[str]


def scan(folder: Path) -> Listing:
    """The files in `folder`; hidden files are not counted."""
    images: list[str] = []
    passed_over: Counter[str] = Counter()
    for entry in shown(folder):
        # A link is followed only when it is opened.
        if entry.name.lower().endswith(READ) and not entry.is_dir(follow_symlinks=False):
            images.append(entry.name)
        elif entry.is_dir():
            passed_over[DEEPER] += _images_below(entry.path)
        else:
            passed_over[kind_of(entry.name)] += 1
    paths = [os.path.join(folder, name) for name in sorted(images)]  # noqa: PTH118 - a million Path objects take seconds
    return Listing(paths, passed_over)


def class_names(folder: Path) -> list[str]:
    """The names of the folders in `folder`, sorted; hidden ones are left out."""
    return sorted(entry.name for entry in shown(folder) if entry.is_dir())


def shown(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What lies in `folder` and is not hidden."""
    return (entry for entry in os.scandir(folder) if not entry.name.startswith("."))


def kind_of(name: str) -> str:
    """The suffix in lower case."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - as above


def listed(passed_over: Counter[str]) -> str:
    """How many files of which kind there are, the most first."""
    most_first = sorted((-count, kind or "without a suffix") for kind, count in passed_over.items() if count)
    return ", ".join(f"{-count:,} {kind}" for count, kind in most_first)


def _images_below(folder: str) -> int:
    return sum(kind_of(name) in IMAGES for _, _, names in os.walk(folder) for name in names if not name.startswith("."))
