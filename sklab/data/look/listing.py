"""The image files in a folder, how many other files lie beside them, and which have the same content."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklab.data.formats.encoded import file_bytes
from sklab.errors import SklabError

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


def by_content(files: Sequence[str]) -> NDArray[np.int64]:
    """int64 [n]: for each file the place of the first one with the same content, often its own.

    Only files of equal size are read, which are few among photographs. Raises SklabError for one that can't be.
    """
    first = np.arange(len(files), dtype=np.int64)
    sizes: dict[int, list[int]] = defaultdict(list)
    try:
        for place, file in enumerate(files):
            sizes[Path(file).stat().st_size].append(place)
        for places in sizes.values():
            seen: dict[bytes, int] = {}
            for place in places if len(places) > 1 else ():
                digest = hashlib.sha256(file_bytes(files[place])).digest()
                first[place] = seen.setdefault(digest, place)
    except OSError as error:
        raise SklabError(f"{error.filename}: can't be read ({error.strerror})") from error
    return first
