"""The one door to the third split of a data set (`data.test`), which is read once all runs of a study have ended.

Before that its files are listed, which checks that they are there. No image is opened, decoded or evaluated.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from sklab.data.augment import Normalise
from sklab.data.base import ArraySplit, FileSplit, ImagesSpec, Split, ThirdSplit, subset
from sklab.data.batches import ValFiles
from sklab.data.cache import decode_all, find_decodable
from sklab.data.fingerprint import inventory_of_test
from sklab.data.formats.own import module_of
from sklab.data.loaders import Loader, ValArrays
from sklab.errors import SklabError
from sklab.spec.data import DataSpec, Fingerprint
from sklab.spec.train import TrainSpec
from sklab.system.terminal import quantity

_log = logging.getLogger(__name__)


class OpenedTest(NamedTuple):
    """The images of the third split in batches, and the fingerprint of what it holds (None if the settings alone decide
    that)."""

    loader: Loader
    fingerprint: Fingerprint | None


def open_test(spec: DataSpec, train: TrainSpec, device: torch.device) -> OpenedTest:
    """The third split as `open_loaders` gives the validation images of a run on one device.

    Raises SklabError where the set has none, or where it is missing or not as the spec says.
    """
    test: ThirdSplit = _module(spec).load_test(spec)
    fingerprint = None if spec.drawn else inventory_of_test(spec, test).fingerprint
    per_device = train.model_copy(update={"batch_size": train.batch_size // train.devices})
    split, normalise = _ready(spec, test.images), Normalise(spec, train, device)
    if not len(split.labels):
        raise SklabError(f"data set {spec.name}: the test split has no images")
    if isinstance(split, ArraySplit):
        return OpenedTest(ValArrays(split, per_device, normalise), fingerprint)
    return OpenedTest(ValFiles(split, spec.image_size, per_device, normalise), fingerprint)


def _module(spec: DataSpec) -> Any:
    module = module_of(spec)
    if not spec.has_test:
        raise SklabError(f"data set {spec.name}: there is no test split; data.test names one")
    return module


def _ready(spec: DataSpec, split: Split) -> Split:
    """`split` as the settings want images: decoded into memory, or without those that can't be decoded."""
    if not (isinstance(spec, ImagesSpec) and isinstance(split, FileSplit)):
        return split
    files = replace(split, upright=spec.exif == "apply")
    ready: Split = files
    skipped: tuple[str, ...] = ()
    if spec.in_memory:
        ready, skipped = decode_all(files, spec.image_size, skip=spec.skip_corrupt)
    elif spec.skip_corrupt:
        places, skipped = find_decodable(files)
        ready = subset(files, np.asarray(places))
    if skipped:
        _log.warning("left out %s that can't be decoded: %s", quantity(len(skipped), "test image"), ", ".join(skipped))
    return ready
