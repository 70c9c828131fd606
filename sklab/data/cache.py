"""A data set as it is trained on: what takes a pass over all images is done once and kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sklab.data.base import FileSplit, Splits, only
from sklab.data.fingerprint import inventory, state_of
from sklab.data.images import ImagesSpec
from sklab.data.kept import Arrays, as_arrays, as_splits, computed, kept_arrays, listed
from sklab.data.scan import in_arrays, readable
from sklab.spec.data import DataSpec


def load_splits(spec: DataSpec, *, whole: bool = False) -> Splits:
    """The data set of `spec`. What takes a computation or a pass over all images comes from the cache, in a few
    milliseconds, once one process has done it; after a change of the files, or of the code of the set, it is done anew.

    `whole` as for `inventory`. Raises SklabError when the data are not as the spec says.
    """
    if spec.drawn:
        return computed(spec)
    splits = listed(spec)
    held = inventory(spec, splits, whole=whole)
    return replace(_gone_through(spec, splits) if isinstance(spec, ImagesSpec) else splits, inventory=held)


def load_files(spec: ImagesSpec) -> tuple[FileSplit, FileSplit]:
    """Both splits of `spec` as image files, none of them decoded yet. Raises SklabError as `load_splits` does."""
    return _files(spec, listed(spec))


def _files(spec: ImagesSpec, splits: Splits) -> tuple[FileSplit, FileSplit]:
    train, val = splits.train, splits.val
    assert isinstance(train, FileSplit)
    assert isinstance(val, FileSplit)
    return replace(train, upright=spec.exif == "apply"), replace(val, upright=spec.exif == "apply")


def _gone_through(spec: ImagesSpec, splits: Splits) -> Splits:
    """`splits`, as arrays or without what can't be decoded, if the settings ask for that."""
    train, val = _files(spec, splits)
    found = f"{state_of(train)} {state_of(val)}" if spec.in_memory or spec.skip_corrupt else ""
    if spec.in_memory:
        held = as_splits(kept_arrays(spec, found, lambda: as_arrays(_in_memory(spec, train, val, splits.classes))))
        return replace(held, passed_over=splits.passed_over)
    if spec.skip_corrupt:
        kept = kept_arrays(spec, found, lambda: _readable(train, val))
        skipped = tuple(kept["skipped"].tolist())
        return replace(splits, train=only(train, kept["train"]), val=only(val, kept["val"]), skipped=skipped)
    return replace(splits, train=train, val=val)


def _in_memory(spec: ImagesSpec, train: FileSplit, val: FileSplit, classes: tuple[str, ...]) -> Splits:
    (ours, out), (held_out, val_out) = (
        in_arrays(split, spec.image_size, skip=spec.skip_corrupt) for split in (train, val)
    )
    return Splits(ours, held_out, classes, out + val_out)


def _readable(train: FileSplit, val: FileSplit) -> Arrays:
    (ours, out), (held_out, val_out) = readable(train), readable(val)
    return {"train": ours, "val": held_out, "skipped": np.array(out + val_out, dtype=str)}
