"""One pass over all images of a set, where its settings ask for it: to hold them in memory, or to leave some out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sklab.data.base import ArraySplit, FileSplit, Picture, Pictures, name_of
from sklab.data.decode import centre, decode, whole
from sklab.errors import SklabError

_CHUNK = 1024  # pictures handed to the threads at a time
_MOST_THREADS = 8

Pixels = NDArray[np.uint8]
T = TypeVar("T")


def in_arrays(split: FileSplit, size: int, *, skip: bool) -> tuple[ArraySplit, tuple[str, ...]]:
    """The images of `split`, all decoded, and the names of those that `skip` left out.

    Raises SklabError for an image that is not `size` x `size` pixels or, without `skip`, can't be read.
    """
    images = np.zeros((len(split.files), 3, size, size), dtype=np.uint8)
    good = []
    for place, pixels in enumerate(each(split.files, lambda picture: whole(picture, upright=split.upright))):
        if not isinstance(pixels, SklabError):
            _ensure_size(split.files, place, pixels, size)
            images[place] = pixels
            good.append(place)
        elif not skip:
            raise pixels
    return ArraySplit(images[good], split.labels[good]), _left_out(split, good)


def readable(split: FileSplit) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """int64 [n]: the places of the images of `split` that can be decoded; and the names of the others."""
    tiny = each(split.files, lambda picture: decode(picture, 8, centre(8, 8)))
    good = [place for place, pixels in enumerate(tiny) if not isinstance(pixels, SklabError)]
    return np.array(good, dtype=np.int64), _left_out(split, good)


def each(files: Pictures, call: Callable[[Picture], T]) -> Iterator[T | SklabError]:
    """`call` of every picture, or why it can't be read, in order, by several threads: decoders let others run
    meanwhile."""

    def at(place: int) -> T | SklabError:
        try:
            return call(files[place])
        except SklabError as error:
            return error

    with ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), _MOST_THREADS)) as threads:
        for start in range(0, len(files), _CHUNK):
            yield from threads.map(at, range(start, min(start + _CHUNK, len(files))))


def _ensure_size(files: Pictures, place: int, pixels: Pixels, size: int) -> None:
    if pixels.shape[1:] != (size, size):
        height, width = pixels.shape[1:]
        raise SklabError(
            f"{name_of(files[place])}: {width} x {height} pixels; data.in_memory: true is for sets whose images all "
            f"have data.image_size = {size} pixels a side"
        )


def _left_out(split: FileSplit, good: list[int]) -> tuple[str, ...]:
    kept = set(good)
    return tuple(name_of(split.files[place]) for place in range(len(split.files)) if place not in kept)
