"""Is the data set there, and as the spec says? Asked before the first run of a sweep, where the runs will be."""

from __future__ import annotations

import numpy as np

from sklab.data.base import ArraySplit, Split, Splits
from sklab.data.cache import load_splits
from sklab.data.decode import centre, decode
from sklab.errors import SklabError
from sklab.spec.data import DataSpec

SAMPLE = 64  # images of a split that are opened: a million would take minutes


def check(spec: DataSpec, batch_size: int) -> None:
    """Raise SklabError, naming the place, when runs over `spec` in batches of up to `batch_size` would find their data
    missing, not as stated or too few.

    What only has to be computed or read through once is done here, so that the runs find it in the cache.
    """
    splits = load_splits(spec)
    ensure_enough(spec, splits, batch_size)
    _look_into(splits.train)
    _look_into(splits.val)


def ensure_enough(spec: DataSpec, splits: Splits, batch_size: int) -> None:
    """Raise SklabError when a split is empty or the train split smaller than a batch."""
    for name, split in (("train", splits.train), ("val", splits.val)):
        if len(split.labels) == 0:
            raise SklabError(f"data set {spec.name}: the {name} split has no images")
    images = len(splits.train.labels)
    if images < batch_size:
        raise SklabError(
            f"data set {spec.name}: train.batch_size = {batch_size} but the train split has {images} images; "
            f"allowed: 2 to {images}"
        )


def _look_into(split: Split) -> None:
    """Decode a few images of a split of encoded ones, spread evenly over its classes; in arrays all have been."""
    if isinstance(split, ArraySplit):
        return
    for place in np.linspace(0, len(split.labels) - 1, min(SAMPLE, len(split.labels))).astype(int).tolist():
        decode(split.files[place], 8, centre(8, 8))
