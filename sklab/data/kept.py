"""Data held without torch: lists of encoded images, and arrays that are computed once and then cached.

The notices about a set of images (files passed over, EXIF orientations) are here as well.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from sklab.data.base import ArraySplit, FileSplit, ImagesSpec, Splits, subset
from sklab.data.fingerprint import inventory
from sklab.data.formats.encoded import UPRIGHT, content, orientation
from sklab.data.formats.own import module_of
from sklab.errors import SklabError
from sklab.spec.data import DataSpec, Inventory
from sklab.spec.own.parts import OwnData
from sklab.store.files import writing_whole
from sklab.system.machine import cache_folder

Arrays = dict[str, np.ndarray]
SAMPLE = 64  # images of a split that are opened: a million would take minutes
_TURNED = {
    "apply": "they are turned upright (data.exif: apply)",
    "ignore": "it is ignored, so they may lie on their side; data.exif: apply turns them upright",
}


def read_inventory(spec: DataSpec, notify: Callable[[str], object] | None = None) -> Inventory | None:
    """The present inventory of the set of `spec`; None if the settings alone decide its images. No image is decoded.

    `notify` gets the `notices` about the images, line by line. Raises SklabError when the data are not as the spec
    says.
    """
    if spec.drawn:
        return None
    splits = load_undecoded(spec)
    held = inventory(spec, splits)
    if notify:
        for line in notices(spec, splits):
            notify(line)
    return held


def load_undecoded(spec: DataSpec) -> Splits:
    """The set with all its images; none is decoded or left out."""
    # Reading them in place takes no longer than the cache would; and what own code reads, a cache can't know.
    if isinstance(spec, ImagesSpec | OwnData) or spec.places:
        return _load(spec)
    return load_cached_arrays(spec)


def load_cached_arrays(spec: DataSpec) -> Splits:
    """A set of arrays; once one process has computed it, it comes from the cache."""
    return splits_from_arrays(cached_arrays(spec, "", lambda: arrays_from_splits(_load(spec))))


def list_test(spec: DataSpec) -> list[str]:
    """The files of the third split, none of which is opened; none for a set without one, and where the settings alone
    decide it. Raises SklabError where files are missing."""
    if spec.drawn or not spec.has_test:
        return []
    files: list[str] = module_of(spec).list_test(spec)
    return files


def _load(spec: DataSpec) -> Splits:
    splits: Splits = module_of(spec).load(spec)
    return splits


def cached_arrays(spec: DataSpec, state: str, compute: Callable[[], Arrays]) -> Arrays:
    """The result of `compute` for this spec and this `state` of its files, from the cache if it is there."""
    digest = hashlib.sha256((spec.model_dump_json(exclude=set(spec.beside)) + state).encode()).hexdigest()[:16]
    file = cache_folder() / f"{spec.name}-{digest}.npz"
    arrays = _read(file)
    if arrays is None:
        arrays = compute()
        with suppress(OSError):  # a cache that can't be written only costs time
            _write(file, arrays)
    return arrays


def _read(file: Path) -> Arrays | None:
    """The arrays in `file`; None if it is missing or damaged (the archive has checksums)."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def splits_from_arrays(arrays: Arrays) -> Splits:
    """The data set from which `arrays_from_splits` made these arrays."""
    skipped = tuple(arrays["skipped"].tolist()) if "skipped" in arrays else ()
    return Splits(_split(arrays, "train"), _split(arrays, "val"), tuple(arrays["classes"].tolist()), skipped)


def _split(arrays: Arrays, split: str) -> ArraySplit:
    extras = {name.split(".")[2]: array for name, array in arrays.items() if name.startswith(f"{split}.extras.")}
    return ArraySplit(arrays[f"{split}.images"], arrays[f"{split}.labels"], extras)


def arrays_from_splits(splits: Splits) -> Arrays:
    """The arrays of a set by name, to be written to a file. Raises TypeError for encoded images."""
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
    """Write the file atomically: several workers may build the set at once, and each must see a complete file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with writing_whole(file) as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def notices(spec: DataSpec, splits: Splits) -> tuple[str, ...]:
    """Lines on what is passed over, and on how many images of a sample carry an EXIF orientation. None is decoded."""
    lines = [*splits.passed_over]
    if isinstance(spec, ImagesSpec):
        splits_of_files = (split for split in (splits.train, splits.val) if isinstance(split, FileSplit))
        turned = [is_turned for split in splits_of_files for is_turned in _have_orientation(spread_sample(split))]
        lines += orientation_notice(spec, sum(turned), len(turned))
    return with_set_name(spec, lines)


def orientation_notice(spec: ImagesSpec, turned: int, opened: int) -> Iterator[str]:
    """A line on how many of the opened images carry an EXIF orientation, if any does."""
    if turned:
        yield f"{turned:,} of the {opened:,} images opened carry an EXIF orientation: {_TURNED[spec.exif]}"


def spread_sample(split: FileSplit) -> FileSplit:
    """At most 64 images of the split, spread evenly over its classes."""
    return subset(split, np.linspace(0, len(split.labels) - 1, min(SAMPLE, len(split.labels))).astype(int))


def with_set_name(spec: DataSpec, lines: list[str]) -> tuple[str, ...]:
    """The lines, each with the set's name."""
    return tuple(f"data set {spec.name}: {line}" for line in lines)


def _have_orientation(split: FileSplit) -> Iterator[bool]:
    """Whether the EXIF orientation is other than upright, for each image that can be read."""
    for place in range(len(split.files)):
        with suppress(SklabError), content(split.files[place]) as data:
            yield orientation(data) != UPRIGHT
