"""What is computed of a data set is computed once and kept under `$SKLAB_CACHE` (default `~/.cache/sklab`)."""

from __future__ import annotations

import hashlib
import importlib
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from sklab.data.base import ArraySplit, FileSplit, Splits
from sklab.data.folder import cache_folder
from sklab.data.images import ImagesSpec
from sklab.data.once import fingerprint, in_arrays, only, readable
from sklab.files import writing_whole
from sklab.spec.data import DataSpec

Arrays = dict[str, np.ndarray]


def load_splits(spec: DataSpec) -> Splits:
    """The data set of `spec`. What takes a computation or a pass over all images comes from the cache, in a few
    milliseconds, once one process has done it; after a change of the files it is done anew.

    Raises SklabError when the data are not as the spec says.
    """

    def load() -> Splits:
        splits: Splits = importlib.import_module(f"sklab.data.sets.{spec.name}").load(spec)
        return splits

    if isinstance(spec, ImagesSpec):
        return _passed_over(spec, load())
    if spec.places:  # read where they lie, which takes no longer than the cache would
        return load()
    return _splits(_kept(spec, "", lambda: _arrays(load())))


def _passed_over(spec: ImagesSpec, splits: Splits) -> Splits:
    """`splits`, as arrays or without what can't be decoded, if the settings ask for that."""
    train, val = splits.train, splits.val
    assert isinstance(train, FileSplit)
    assert isinstance(val, FileSplit)
    found = f"{fingerprint(train)} {fingerprint(val)}" if spec.in_memory or spec.skip_corrupt else ""
    if spec.in_memory:
        return _splits(_kept(spec, found, lambda: _arrays(_in_memory(spec, train, val, splits.classes))))
    if spec.skip_corrupt:
        kept = _kept(spec, found, lambda: _readable(train, val))
        skipped = tuple(kept["skipped"].tolist())
        return Splits(only(train, kept["train"]), only(val, kept["val"]), splits.classes, skipped)
    return splits


def _in_memory(spec: ImagesSpec, train: FileSplit, val: FileSplit, classes: tuple[str, ...]) -> Splits:
    (ours, out), (held_out, val_out) = (
        in_arrays(split, spec.image_size, skip=spec.skip_corrupt) for split in (train, val)
    )
    return Splits(ours, held_out, classes, out + val_out)


def _readable(train: FileSplit, val: FileSplit) -> Arrays:
    (ours, out), (held_out, val_out) = readable(train), readable(val)
    return {"train": ours, "val": held_out, "skipped": np.array(out + val_out, dtype=str)}


def _kept(spec: DataSpec, state: str, compute: Callable[[], Arrays]) -> Arrays:
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


def _splits(held: Arrays) -> Splits:
    skipped = tuple(held["skipped"].tolist()) if "skipped" in held else ()
    return Splits(_split(held, "train"), _split(held, "val"), tuple(held["classes"].tolist()), skipped)


def _split(held: Arrays, split: str) -> ArraySplit:
    extras = {name.split(".")[2]: array for name, array in held.items() if name.startswith(f"{split}.extras.")}
    return ArraySplit(held[f"{split}.images"], held[f"{split}.labels"], extras)


def _arrays(splits: Splits) -> Arrays:
    arrays: Arrays = {"classes": np.array(splits.classes)}
    if splits.skipped:
        arrays["skipped"] = np.array(splits.skipped)
    for name, split in (("train", splits.train), ("val", splits.val)):
        if not isinstance(split, ArraySplit):
            raise TypeError("a set of encoded images derives its Spec from sklab.data.images.ImagesSpec")
        arrays |= {f"{name}.images": split.images, f"{name}.labels": split.labels}
        arrays |= {f"{name}.extras.{extra}": array for extra, array in split.extras.items()}
    return arrays


def _write(file: Path, arrays: Arrays) -> None:
    """Written aside and put in place: of several workers that build the set at once, each sees a whole file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with writing_whole(file) as stream:
        np.savez(stream, allow_pickle=False, **arrays)
