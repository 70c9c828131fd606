"""Data sets that are computed are computed once and kept under `$SKLAB_CACHE` (default `~/.cache/sklab`)."""

from __future__ import annotations

import hashlib
import importlib
import os
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from sklab.data.base import ArraySplit, Splits
from sklab.spec.data import DataSpec


def load_splits(spec: DataSpec) -> Splits:
    """The data set of `spec`; array sets from the cache, in a few milliseconds, once one process has built them.

    Raises SklabError when the data are not as the spec says.
    """
    file = _folder() / f"{spec.name}-{hashlib.sha256(spec.model_dump_json().encode()).hexdigest()[:16]}.npz"
    kept = _read(file)
    if kept is not None:
        return kept
    splits: Splits = importlib.import_module(f"sklab.data.sets.{spec.name}").load(spec)
    if isinstance(splits.train, ArraySplit) and isinstance(splits.val, ArraySplit):
        with suppress(OSError):  # a cache that can't be written costs time, no more
            _write(file, splits.train, splits.val, splits.classes)
    return splits


def _folder() -> Path:
    return Path(os.environ.get("SKLAB_CACHE") or "~/.cache/sklab").expanduser()


def _read(file: Path) -> Splits | None:
    """None when there is no such file or it is damaged: the archive's checksums tell."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            held = {name: arrays[name] for name in arrays.files}
        return Splits(_split(held, "train"), _split(held, "val"), tuple(held["classes"].tolist()))
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def _split(held: dict[str, np.ndarray], split: str) -> ArraySplit:
    extras = {name.split(".")[2]: array for name, array in held.items() if name.startswith(f"{split}.extras.")}
    return ArraySplit(held[f"{split}.images"], held[f"{split}.labels"], extras)


def _write(file: Path, train: ArraySplit, val: ArraySplit, classes: tuple[str, ...]) -> None:
    """Written aside and put in place: of several workers that build the set at once, each sees a whole file."""
    arrays: dict[str, np.ndarray] = {"classes": np.array(classes)}
    for name, split in (("train", train), ("val", val)):
        arrays |= {f"{name}.images": split.images, f"{name}.labels": split.labels}
        arrays |= {f"{name}.extras.{extra}": array for extra, array in split.extras.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with aside.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)
