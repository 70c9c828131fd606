"""What a folder of images holds: each file is read once, decoded to see whether it is whole, and hashed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from sklab.data.formats.encoded import UPRIGHT, content, opened, orientation_of
from sklab.data.look.layout import Layout
from sklab.errors import SklabError
from sklab.system.terminal import one_line

MOST = 20_000  # images that are opened; of a larger set, so many of them, spread evenly
_THREADS = 4
_NOT_8_BITS = ("I", "F")  # modes that are not read


class Opened(NamedTuple):
    """A file that was opened: width and height in pixels, or the `fault` of one that is no whole image."""

    split: str
    label: str
    file: str
    digest: bytes
    sides: tuple[int, int] = (0, 0)
    mode: str = ""
    turned: bool = False
    fault: str = ""


@dataclass(frozen=True)
class Found:
    """A folder of images, looked at.

    layout   its folders
    opened   the files that were opened, in the order of split, class and name
    """

    layout: Layout
    opened: tuple[Opened, ...]

    @property
    def total(self) -> int:
        """The number of images of all splits."""
        return sum(len(files) for classes in self.layout.images.values() for files in classes.values())

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """The number of images by split and class."""
        return {
            split: {label: len(files) for label, files in classes.items()}
            for split, classes in self.layout.images.items()
        }

    @property
    def whole(self) -> list[Opened]:
        """The images that can be read."""
        return [image for image in self.opened if not image.fault]

    @property
    def faulty(self) -> list[Opened]:
        """The files that can't be read as images."""
        return [image for image in self.opened if image.fault]

    @property
    def shorter_sides(self) -> list[int]:
        """Of the training images that can be read, in pixels, sorted."""
        return sorted(min(image.sides) for image in self.whole if image.split == self.layout.train)

    @property
    def modes(self) -> Counter[str]:
        """How many images have which mode (RGB, L for grey, ...)."""
        return Counter(image.mode for image in self.whole)

    @property
    def imbalance(self) -> float:
        """How many times as many training images the largest class has as the smallest."""
        counts = self.counts[self.layout.train].values()
        return max(counts) / min(counts)

    def copies(self) -> list[list[Opened]]:
        """The groups of files with the same content."""
        groups: dict[bytes, list[Opened]] = {}
        for image in self.whole:
            groups.setdefault(image.digest, []).append(image)
        return [group for group in groups.values() if len(group) > 1]


def look(layout: Layout, step: Callable[[], object]) -> Found:
    """Open the images of `layout`; `step` is called after each."""
    every = [
        (split, label, file)
        for split, classes in layout.images.items()
        for label, files in classes.items()
        for file in files
    ]
    chosen = [every[at * len(every) // MOST] for at in range(MOST)] if len(every) > MOST else every
    return Found(layout, tuple(_stepping(chosen, step)))


def _stepping(chosen: Sequence[tuple[str, str, str]], step: Callable[[], object]) -> Iterator[Opened]:
    with ThreadPoolExecutor(_THREADS) as threads:
        results: Iterable[Opened] = threads.map(lambda place: _open(*place), chosen)
        for result in results:
            step()
            yield result


def _open(split: str, label: str, file: str) -> Opened:
    digest = b""
    try:
        with content(file) as data:
            digest = hashlib.sha256(data).digest()
            with opened(data) as image:
                if image.mode.startswith(_NOT_8_BITS):
                    raise ValueError(f"mode {image.mode}; allowed: 8 bits per channel")
                sides, mode, turned = image.size, image.mode, orientation_of(image) != UPRIGHT
                image.draft("RGB", (1, 1))  # a JPEG is decoded at an eighth of its side
                image.load()
                return Opened(split, label, file, digest, sides, mode, turned)
    except SklabError as error:
        reason = str(error.__cause__ or error)
        return Opened(split, label, file, digest, fault=one_line(reason))
