"""Is the data set there, and as the spec says? Asked before the first run of a sweep, where the runs will be."""

from __future__ import annotations

import numpy as np

from sklab.data.base import ArraySplit, Split
from sklab.data.cache import load_splits
from sklab.data.decode import centre, decode
from sklab.errors import SklabError
from sklab.spec.data import DataSpec

SAMPLE = 64  # images of a split that are opened: a million would take minutes


def check(spec: DataSpec) -> None:
    """Raise SklabError, naming the place, when runs over `spec` would find their data missing or not as stated.

    What only has to be computed or read through once is done here, so that the runs find it in the cache.
    """
    splits = load_splits(spec)
    for name, split in (("train", splits.train), ("val", splits.val)):
        if len(split.labels) == 0:
            raise SklabError(f"data set {spec.name}: the {name} split has no images")
        _look_into(split)


def _look_into(split: Split) -> None:
    """Decode a few images of a split of encoded ones, spread evenly over its classes; in arrays all have been."""
    if isinstance(split, ArraySplit):
        return
    for place in np.linspace(0, len(split.labels) - 1, min(SAMPLE, len(split.labels))).astype(int).tolist():
        decode(split.files[place], 8, centre(8, 8))
