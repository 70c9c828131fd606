"""What a data set holds, read without torch: images as they are listed, and what is computed once and kept.

What nobody would notice otherwise about a set of images is said here as well.
"""

from __future__ import annotations

import hashlib
import importlib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from sklab.data.base import ArraySplit, FileSplit, ImagesSpec, Splits, subset
from sklab.data.fingerprint import inventory
from sklab.data.formats.encoded import UPRIGHT, content, orientation
from sklab.errors import SklabError
from sklab.spec.data import DataSpec, Inventory, plugin_hash
from sklab.store.files import writing_whole
from sklab.system.machine import cache_folder

Arrays = dict[str, np.ndarray]
SAMPLE = 64  # images of a split that are opened: a million would take minutes
_TURNED = {
    "apply": "they are turned upright (data.exif: apply)",
    "ignore": "it is ignored, so they may lie on their side; data.exif: apply turns them upright",
}


def read_inventory(spec: DataSpec) -> Inventory | None:
    """What the set of `spec` holds now; None where the settings alone decide that. No image is decoded.

    Raises SklabError when the data are not as the spec says.
    """
    return None if spec.drawn else inventory(spec, load_undecoded(spec))


def load_undecoded(spec: DataSpec) -> Splits:
    """The set with all its images."""
    if isinstance(spec, ImagesSpec) or spec.places:  # read where they lie, which takes no longer than the cache would
        return _load(spec)
    return load_cached_arrays(spec)


def load_cached_arrays(spec: DataSpec) -> Splits:
    """A set of arrays, from the cache once one process has computed it."""
    return splits_from_arrays(
        cached_arrays(spec, plugin_hash("data.sets", spec.name), lambda: arrays_from_splits(_load(spec)))
    )


def _load(spec: DataSpec) -> Splits:
    splits: Splits = importlib.import_module(f"sklab.data.sets.{spec.name}").load(spec)
    return splits


def cached_arrays(spec: DataSpec, state: str, compute: Callable[[], Arrays]) -> Arrays:
    """What `compute` gives for this spec and this `state` of its files, from the cache if it is there."""
    digest = hashlib.sha256((spec.model_dump_json(exclude={"title"}) + state).encode()).hexdigest()[:16]
    file = cache_folder() / f"{spec.name}-{digest}.npz"
    kept = _read(file)
    if kept is None:
        kept = compute()
        with suppress(OSError):  # a cache that can't be written costs time, no more
            _write(file, kept)
    return kept


def _read(file: Path) -> Arrays | None:
    """None when there is no such file or it is damaged: the archive's checksums tell."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def splits_from_arrays(held: Arrays) -> Splits:
    """The data set that `arrays_from_splits` made these arrays of."""
    skipped = tuple(held["skipped"].tolist()) if "skipped" in held else ()
    return Splits(_split(held, "train"), _split(held, "val"), tuple(held["classes"].tolist()), skipped)


def _split(held: Arrays, split: str) -> ArraySplit:
    extras = {name.split(".")[2]: array for name, array in held.items() if name.startswith(f"{split}.extras.")}
    return ArraySplit(held[f"{split}.images"], held[f"{split}.labels"], extras)


def arrays_from_splits(splits: Splits) -> Arrays:
    """A set of arrays by name, to be kept in a file. Raises TypeError for encoded images."""
    arrays: Arrays = {"classes": np.array(splits.classes)}
    if splits.skipped:
        arrays["skipped"] = np.array(splits.skipped)
    for name, split in (("train", splits.train), ("val", splits.val)):
        if not isinstance(split, ArraySplit):
            raise TypeError("a set of encoded images derives its Spec from sklab.data.base.ImagesSpec")
        arrays |= {f"{name}.images": split.images, f"{name}.labels": split.labels}
        arrays |= {f"{name}.extras.{extra}": array for extra, array in split.extras.items()}
    return arrays


def _write(file: Path, arrays: Arrays) -> None:
    """Written aside and put in place: of several workers that build the set at once, each sees a whole file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with writing_whole(file) as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def notices(spec: DataSpec, splits: Splits) -> tuple[str, ...]:
    """A line each: what is passed over, and how many of a few images carry an EXIF orientation. None is decoded."""
    lines = [*splits.passed_over]
    if isinstance(spec, ImagesSpec):
        splits_of_files = (split for split in (splits.train, splits.val) if isinstance(split, FileSplit))
        turned = [seen for split in splits_of_files for seen in _have_orientation(spread_sample(split))]
        lines += orientation_notice(spec, sum(turned), len(turned))
    return with_set_name(spec, lines)


def orientation_notice(spec: ImagesSpec, turned: int, opened: int) -> Iterator[str]:
    """That so many of the images opened carry one, if any does."""
    if turned:
        yield f"{turned:,} of the {opened:,} images opened carry an EXIF orientation: {_TURNED[spec.exif]}"


def spread_sample(split: FileSplit) -> FileSplit:
    """At most 64 images of the split, spread evenly over its classes."""
    return subset(split, np.linspace(0, len(split.labels) - 1, min(SAMPLE, len(split.labels))).astype(int))


def with_set_name(spec: DataSpec, lines: list[str]) -> tuple[str, ...]:
    """The lines with the set's name."""
    return tuple(f"data set {spec.name}: {line}" for line in lines)


def _have_orientation(split: FileSplit) -> Iterator[bool]:
    """Of each image that can be read."""
    for place in range(len(split.files)):
        with suppress(SklabError), content(split.files[place]) as data:
            yield orientation(data) != UPRIGHT
