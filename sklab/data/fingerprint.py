"""The fingerprint of a data set: class names, and paths, sizes and contents of its images."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sklab.data.base import ArraySplit, FileSplit, Picture, Split, Splits, ThirdSplit
from sklab.data.formats.arrow import ArrowPictures
from sklab.data.formats.encoded import file_bytes
from sklab.errors import SklabError
from sklab.spec.data import DataSpec, Fingerprint, Group, Inventory
from sklab.spec.values import Value
from sklab.store.files import read_kept, write_whole
from sklab.system.machine import cache_folder

SAMPLE = 1024  # images of each split whose contents are always read
LARGEST_READ = 2**30  # bytes: the contents of a set up to this size are all read
_CHUNK = 1024  # images that a thread takes at a time
_THREADS = 8
_DIGITS = 16  # of each hash

T = TypeVar("T")
Ints = NDArray[np.int64]


class _Contents(Value):
    """Hashes of files' contents, kept under `$SKLAB_CACHE` and valid until one of the files is written again."""

    sample: str
    contents: str = ""


@dataclass(frozen=True)
class _Listing:
    """The images of a split without their contents: `paths` below the set's folder ("" for images without a path),
    `sizes` int64 [n] in bytes, and a `state` that changes when a file is written ("" if unknown)."""

    paths: Sequence[str]
    sizes: Ints
    state: str


def inventory(spec: DataSpec, splits: Splits, *, whole: bool = False) -> Inventory:
    """The inventory of a data set. `splits` are those of `load`, before any image is left out. `whole` reads all
    contents of any set, however large.

    Reads the size of every file, but contents only if files have changed since the last time. Raises SklabError
    when a file can't be read.
    """
    return _inventory(spec, {"train": splits.train, "val": splits.val}, splits.classes, whole=whole)


def inventory_of_test(spec: DataSpec, test: ThirdSplit) -> Inventory:
    """The same of the third split alone."""
    return _inventory(spec, {"test": test.images}, test.classes, whole=False)


def _inventory(spec: DataSpec, parts: Mapping[str, Split], classes: Sequence[str], *, whole: bool) -> Inventory:
    listings = {name: _listing(spec, split) for name, split in parts.items()}
    total = hashlib.sha256("\0".join(classes).encode())
    groups: dict[str, Group] = {}
    for name, split in parts.items():
        total.update(split.labels.astype(np.int64).tobytes())
        groups |= _groups(name, split, listings[name], classes)
    total.update(repr(sorted((name, group.digest) for name, group in groups.items())).encode())
    size = sum(int(listing.sizes.sum()) for listing in listings.values())
    contents = _contents(list(parts.values()), list(listings.values()), whole=whole or size <= LARGEST_READ)
    fingerprint = Fingerprint(listing=total.hexdigest()[:_DIGITS], **contents.model_dump())
    return Inventory(fingerprint=fingerprint, groups=groups)


def state_of(split: FileSplit) -> str:
    """A text that changes when an image of `split` is added, removed or written again."""
    return _listing(None, split).state or _digest([(split, range(len(split.labels)))])


def _groups(name: str, split: Split, listing: _Listing, classes: Sequence[str]) -> dict[str, Group]:
    hashes = [hashlib.sha256() for _ in classes]
    for label, path, size in zip(split.labels.tolist(), listing.paths, listing.sizes.tolist(), strict=True):
        hashes[label].update(f"{path}\0{size}\n".encode("utf-8", "surrogateescape"))
    counts = np.bincount(split.labels, minlength=len(classes)).tolist()
    return {
        f"{name}/{class_name}": Group(images=counts[label], digest=hashes[label].hexdigest()[:_DIGITS])
        for label, class_name in enumerate(classes)
    }


def _listing(spec: DataSpec | None, split: Split) -> _Listing:
    count = len(split.labels)
    if isinstance(split, ArraySplit):
        return _Listing([""] * count, np.full(count, split.images[0].nbytes if count else 0, dtype=np.int64), "")
    if isinstance(split.files, ArrowPictures):
        files = [*split.files.files, *split.files.external_paths()]
        return _Listing([""] * count, split.files.sizes(), _state(_stats(files)))
    pictures = [split.files[place] for place in range(count)]
    paths = [picture for picture in pictures if isinstance(picture, str)]
    if len(paths) != count:
        return _Listing([""] * count, _lengths(split), "")
    stats = list(_stats(paths))
    sizes = np.array([size for _, size, _, _ in stats], dtype=np.int64)
    return _Listing(_paths_below_root(spec, paths), sizes, _state(stats))


def _lengths(split: FileSplit) -> Ints:
    return np.array([len(_bytes(split.files[place])) for place in range(len(split.labels))], dtype=np.int64)


def _paths_below_root(spec: DataSpec | None, paths: Sequence[str]) -> list[str]:
    """The paths relative to the folder that the settings name; for files elsewhere only the name."""
    roots = [f"{Path(str(getattr(spec, place))).expanduser()}{os.sep}" for place in spec.places] if spec else []
    return [
        next((path[len(root) :] for root in roots if path.startswith(root)), os.path.basename(path))  # noqa: PTH119
        for path in paths
    ]


def _stats(paths: Sequence[str]) -> Iterator[tuple[str, int, int, int]]:
    """Path, size, mtime and ctime of each file. Uses several threads, because a file server answers slowly."""

    def ask(start: int) -> list[tuple[str, int, int, int]]:
        statuses = ((path, os.stat(path)) for path in paths[start : start + _CHUNK])  # noqa: PTH116 - a million of them
        return [(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns) for path, status in statuses]

    for chunk in _map_threads(ask, range(0, len(paths), _CHUNK)):
        yield from chunk


def _state(stats: Iterable[tuple[str, int, int, int]]) -> str:
    digest = hashlib.sha256(os.fsencode(Path.cwd()))  # paths may be relative; making a million absolute takes seconds
    for path, size, contents_changed, changed in stats:
        digest.update(b"%s\0%d %d %d\n" % (os.fsencode(path), size, contents_changed, changed))
    return digest.hexdigest()


def _contents(splits: Sequence[Split], listings: Sequence[_Listing], *, whole: bool) -> _Contents:
    """The hashes of the contents, from the cache if the files have not changed."""
    states = [listing.state for listing in listings]
    name = hashlib.sha256(f"{SAMPLE} {states}".encode()).hexdigest()[:_DIGITS]
    file = cache_folder() / f"contents-{name}.json"
    kept = read_kept(file, _Contents) if all(states) else None
    if kept and (kept.contents or not whole):
        return kept
    hashed = _Contents(
        sample=_digest((split, _sample_places(len(split.labels))) for split in splits),
        contents=_digest((split, range(len(split.labels))) for split in splits) if whole else "",
    )
    if all(states):
        with suppress(OSError):  # a cache that can't be written only costs time
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, hashed.model_dump_json())
    return hashed


def _sample_places(count: int) -> Sequence[int]:
    places: list[int] = np.unique(np.linspace(0, count - 1, min(SAMPLE, count)).astype(int)).tolist()
    return places


def _digest(chosen: Iterable[tuple[Split, Sequence[int]]]) -> str:
    digest = hashlib.sha256()
    for split, places in chosen:
        for hashed in _hashes(split, places):
            digest.update(hashed)
    return digest.hexdigest()[:_DIGITS]


def _hashes(split: Split, places: Sequence[int]) -> Iterator[bytes]:
    if isinstance(split, ArraySplit):
        chosen = np.asarray(places, dtype=np.int64)
        arrays: list[NDArray[Any]] = [split.images, *(split.extras[name] for name in sorted(split.extras))]
        for array in arrays:
            yield hashlib.sha256(array[chosen].tobytes()).digest()
        return
    files = split.files

    def read(start: int) -> bytes:
        return b"".join(hashlib.sha256(_bytes(files[at])).digest() for at in places[start : start + _CHUNK])

    yield from _map_threads(read, range(0, len(places), _CHUNK))


def _map_threads(call: Callable[[int], T], starts: Iterable[int]) -> Iterator[T]:
    try:
        with ThreadPoolExecutor(_THREADS) as threads:
            yield from threads.map(call, starts)
    except OSError as error:
        raise SklabError(f"{error.filename}: can't be read ({error.strerror})") from error


def _bytes(picture: Picture) -> bytes:
    return file_bytes(picture) if isinstance(picture, str) else picture.data
