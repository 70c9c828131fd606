"""Is the data set there, and as the spec says? Asked before the first run of a sweep, where the runs will be."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sklab.data.base import ArraySplit, Split, Splits
from sklab.data.cache import load_splits
from sklab.data.decode import centre, decode
from sklab.errors import SklabError
from sklab.spec.data import DataSpec
from sklab.spec.fingerprint import Inventory
from sklab.spec.train import TrainSpec

SAMPLE = 64  # images of a split that are opened: a million would take minutes


def check(spec: DataSpec, recipes: Iterable[TrainSpec]) -> Inventory | None:
    """Raise SklabError, naming the place, when runs over `spec` by these recipes would find their data missing, not as
    stated or too few. Returns what the set holds; None where its settings alone decide that.

    What only has to be computed or read through once is done here, so that the runs find it in the cache.
    """
    splits = load_splits(spec)
    ensure_fits(spec, splits, *recipes)
    _look_into(splits.train)
    _look_into(splits.val)
    return splits.inventory


def ensure_fits(spec: DataSpec, splits: Splits, *recipes: TrainSpec) -> None:
    """Raise SklabError when recipes ask for more images than there are, or for what can't be done with them."""
    reasons = dict.fromkeys(_misfit(splits, recipe) for recipe in recipes)
    reasons.pop("", None)
    if reasons:
        raise SklabError(f"data set {spec.name}: {'; '.join(reasons)}")


def _misfit(splits: Splits, train: TrainSpec) -> str:
    """Why the recipe does not go with the images; "" when it does."""
    images, held_out = len(splits.train.labels), len(splits.val.labels)
    batches, crop = images // train.batch_size, train.augment.random_resized_crop
    for name, count in (("train", images), ("val", held_out)):
        if count == 0:
            return f"the {name} split has no images"
    if batches == 0:
        size = f"train.batch_size = {train.batch_size}"
        return f"{size} but the train split has {images} images; allowed: 2 to {images}"
    if batches < train.accumulate:
        return (
            f"train.accumulate = {train.accumulate} but an epoch has {batches} batches of train.batch_size = "
            f"{train.batch_size}; allowed: 1 to {batches}"
        )
    if held_out < train.devices:
        devices = f"train.devices = {train.devices}"
        return f"{devices} but the val split has {held_out} images; allowed: 1 to {held_out}"
    if isinstance(splits.train, ArraySplit) and crop is not None:
        return f"train.augment.random_resized_crop = {list(crop)} is for image files; allowed here: pad_crop and flip"
    return ""


def _look_into(split: Split) -> None:
    """Decode a few images of a split of encoded ones, spread evenly over its classes; in arrays all have been."""
    if isinstance(split, ArraySplit):
        return
    for place in np.linspace(0, len(split.labels) - 1, min(SAMPLE, len(split.labels))).astype(int).tolist():
        decode(split.files[place], 8, centre(8, 8))
