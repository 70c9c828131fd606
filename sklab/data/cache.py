"""A data set ready for training: what takes a pass over all images is done once and cached.

If the settings ask for it, the pass decodes all images into memory or leaves out those that can't be decoded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sklab.data.base import ArraySplit, FileSplit, ImagesSpec, Picture, Pictures, Splits, name_of, subset
from sklab.data.fingerprint import inventory, state_of
from sklab.data.formats.decode import centre, decode, whole
from sklab.data.kept import (
    Arrays,
    arrays_from_splits,
    cached_arrays,
    load_cached_arrays,
    load_undecoded,
    splits_from_arrays,
)
from sklab.errors import SklabError
from sklab.spec.data import DataSpec
from sklab.store.files import checksum

_CHUNK = 1024  # pictures handed to the threads at a time
_MOST_THREADS = 8
Pixels = NDArray[np.uint8]
T = TypeVar("T")


def load_splits(spec: DataSpec, *, whole: bool = False) -> Splits:
    """The data set of `spec`. The result of a computation or of a pass over all images comes from the cache in a few
    milliseconds once one process has done it. After a change of the files or of the set's code it is done again.

    `whole` as for `inventory`. Raises SklabError when the data are not as the spec says.
    """
    if spec.drawn:
        return load_cached_arrays(spec)
    splits = load_undecoded(spec)
    held = inventory(spec, splits, whole=whole)
    return replace(_decoded_or_checked(spec, splits) if isinstance(spec, ImagesSpec) else splits, inventory=held)


def load_files(spec: ImagesSpec) -> tuple[FileSplit, FileSplit]:
    """Both splits of `spec` as image files, none of them decoded yet. Raises SklabError as `load_splits` does."""
    return _files(spec, load_undecoded(spec))


def _files(spec: ImagesSpec, splits: Splits) -> tuple[FileSplit, FileSplit]:
    train, val = splits.train, splits.val
    assert isinstance(train, FileSplit)
    assert isinstance(val, FileSplit)
    return replace(train, upright=spec.exif == "apply"), replace(val, upright=spec.exif == "apply")


def _decoded_or_checked(spec: ImagesSpec, splits: Splits) -> Splits:
    """`splits`, as arrays or without the images that can't be decoded, if the settings ask for that."""
    train, val = _files(spec, splits)
    state = f"{state_of(train)} {state_of(val)}" if spec.in_memory or spec.skip_corrupt else ""
    if spec.in_memory:
        if val.sources is not None:
            state = f"{state} {checksum(val.sources.tobytes())}"
        held = splits_from_arrays(
            cached_arrays(spec, state, lambda: arrays_from_splits(_arrays_of(spec, train, val, splits.classes)))
        )
        return replace(held, passed_over=splits.passed_over)
    if spec.skip_corrupt:
        kept = cached_arrays(spec, state, lambda: _decodable_places(train, val))
        skipped = tuple(kept["skipped"].tolist())
        return replace(splits, train=subset(train, kept["train"]), val=subset(val, kept["val"]), skipped=skipped)
    return replace(splits, train=train, val=val)


def _arrays_of(spec: ImagesSpec, train: FileSplit, val: FileSplit, classes: tuple[str, ...]) -> Splits:
    (train_arrays, train_skipped), (val_arrays, val_skipped) = (
        decode_all(split, spec.image_size, skip=spec.skip_corrupt) for split in (train, val)
    )
    return Splits(train_arrays, val_arrays, classes, train_skipped + val_skipped)


def _decodable_places(train: FileSplit, val: FileSplit) -> Arrays:
    (train_places, train_skipped), (val_places, val_skipped) = find_decodable(train), find_decodable(val)
    return {"train": train_places, "val": val_places, "skipped": np.array(train_skipped + val_skipped, dtype=str)}


def decode_all(split: FileSplit, size: int, *, skip: bool) -> tuple[ArraySplit, tuple[str, ...]]:
    """All images of `split`, decoded, and the names of those that were left out because of `skip`.

    Raises SklabError for an image that is not `size` x `size` pixels or, without `skip`, can't be read.
    """
    images = np.zeros((len(split.files), 3, size, size), dtype=np.uint8)
    good = []
    for place, pixels in enumerate(map_pictures(split.files, lambda picture: whole(picture, upright=split.upright))):
        if not isinstance(pixels, SklabError):
            _ensure_size(split.files, place, pixels, size)
            images[place] = pixels
            good.append(place)
        elif not skip:
            raise pixels
    kept = subset(split, np.array(good, dtype=np.int64))
    extras = {} if kept.sources is None else {"source": kept.sources.astype(np.float32)}
    return ArraySplit(images[good], kept.labels, extras), _left_out(split, good)


def find_decodable(split: FileSplit) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """int64 [n]: the places of the images of `split` that can be decoded; and the names of the others."""
    tiny = map_pictures(split.files, lambda picture: decode(picture, 8, centre(8, 8)))
    good = [place for place, pixels in enumerate(tiny) if not isinstance(pixels, SklabError)]
    return np.array(good, dtype=np.int64), _left_out(split, good)


def map_pictures(files: Pictures, call: Callable[[Picture], T]) -> Iterator[T | SklabError]:
    """`call` of every picture, or the error, in order. Uses several threads: decoders release the interpreter lock."""

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
