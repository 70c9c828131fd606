"""The folds of a folder of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from PIL import Image
from pydantic import ValidationError

from sklab.data.base import FileSplit
from sklab.data.cache import load_splits
from sklab.data.kept import read_inventory
from sklab.data.sets.image_folder import Spec, fold
from sklab.errors import SklabError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six cats and nine dogs to train on; no folder `val`."""
    for name, images in (("cat", 6), ("dog", 9)):
        folder = tmp_path / "train" / name
        folder.mkdir(parents=True)
        for number in range(images):
            Image.fromarray(np.full((40, 40, 3), 9 * number, np.uint8)).save(folder / f"{number}.png")
    return tmp_path


def spec(root: Path, **settings: int) -> Spec:
    return Spec(**{"root": str(root), "num_classes": 2, "image_size": 32, "resize": 40, "folds": 3, **settings})


def names(split: object) -> list[str]:
    assert isinstance(split, FileSplit)
    return [str(split.files[place]) for place in range(len(split.labels))]


def test_every_image_is_for_validation_once_in_a_cut(root: Path) -> None:
    parts = [load_splits(spec(root, split=split)) for split in range(3)]
    every = sorted(str(file) for file in root.glob("train/*/*.png"))
    assert sorted(name for part in parts for name in names(part.val)) == every
    for part in parts:
        assert sorted([*names(part.train), *names(part.val)]) == every
        assert np.bincount(part.val.labels).tolist() == [2, 3]


def test_the_next_cut_is_another_one_and_each_is_data_of_its_own(root: Path) -> None:
    cuts = [{frozenset(names(load_splits(spec(root, split=3 * cut + at)).val)) for at in range(3)} for cut in (0, 1)]
    assert cuts[0] != cuts[1]
    held = [read_inventory(spec(root).split_anew(number)) for number in (0, 1, 0)]
    assert held[0] == held[2]
    assert held[0] is not None
    assert held[1] is not None
    assert not held[0].fingerprint.same_as(held[1].fingerprint)


@given(st.lists(st.integers(0, 2), min_size=30, max_size=60), st.integers(2, 5), st.integers(0, 20))
def test_folds_keep_the_share_of_every_class(drawn: list[int], folds: int, split: int) -> None:
    labels = np.array([*drawn, *([0, 1, 2] * folds)])
    train, val = fold(labels, folds, split)
    assert_array_equal(np.sort([*train, *val]), np.arange(len(labels)))
    shares = np.bincount(labels) / folds
    assert np.all(np.abs(np.bincount(labels[val]) - shares) <= 1)
    assert_array_equal(fold(labels, folds, split)[1], val)


def test_what_folds_can_not_be_is_said(root: Path) -> None:
    with pytest.raises(SklabError, match=r"train: a class has 6 images; data.folds = 7 needs one in each"):
        load_splits(spec(root, folds=7))
    with pytest.raises(SklabError, match=r"found 2 classes \(cat, dog\); data.num_classes = 3"):
        load_splits(spec(root, num_classes=3))
    with pytest.raises(ValidationError, match="folds = 1 leaves no image for training"):
        spec(root, folds=1)
    with pytest.raises(ValidationError, match="split = 2 needs folds"):
        spec(root, folds=0, split=2)
