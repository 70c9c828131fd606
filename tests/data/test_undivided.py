"""A folder of classes without splits, and folders of other names; copies of an image lie on one side of the split."""

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import encoded, folder, pixels
from pydantic import ValidationError

from sklab.data.kept import read_inventory
from sklab.data.look.listing import by_content
from sklab.data.sets.image_folder import Spec, load
from sklab.errors import SklabError


@pytest.fixture
def root(tmp_path):
    """Ten cats and ten dogs; each dog lies there twice."""
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / "all" / name).mkdir(parents=True)
        for number in range(10):
            data = encoded(pixels(label, number))
            (tmp_path / "all" / name / f"{number}.png").write_bytes(data)
            if label:
                (tmp_path / "all" / name / f"copy {number}.png").write_bytes(data)
    return tmp_path / "all"


def undivided(root, **settings):
    return Spec(**{"root": str(root), "num_classes": 2, "train": ".", "folds": 5, "copies": "together", **settings})


def sides(splits):
    return [{split.files[place] for place in range(len(split.labels))} for split in (splits.train, splits.val)]


def test_a_folder_without_splits_is_cut_by_class_and_copies_stay_together(root):
    for split in range(5):
        splits = load(undivided(root, split=split))
        train, val = sides(splits)
        assert len(train) + len(val) == 30
        assert np.bincount(splits.val.labels).tolist() == [2, 4]
        for side in (train, val):
            assert all(file.replace("copy ", "") in side for file in side)
    apart = [sides(load(undivided(root, copies="apart", split=split)))[1] for split in range(5)]
    assert any(file.replace("copy ", "") not in side for side in apart for file in side)


def test_the_split_is_in_the_identity_and_in_the_fingerprint(root):
    one, other = undivided(root), undivided(root, split=1)
    assert one.identity() != other.identity()
    assert not read_inventory(one).fingerprint.same_as(read_inventory(other).fingerprint)
    assert undivided(root, copies="apart").identity() != one.identity()


def test_folders_of_other_names(tmp_path):
    photos = folder(tmp_path / "photos", train=3, val=2)
    before = load(Spec(root=str(photos), num_classes=2))
    shutil.move(photos / "val", photos / "valid")
    after = load(Spec(root=str(photos), num_classes=2, val="valid"))
    assert after.val.labels.tolist() == before.val.labels.tolist()
    with pytest.raises(SklabError, match=r"val: no such folder .* must hold train/ and val/"):
        load(Spec(root=str(photos), num_classes=2))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"folds": 0, "copies": "apart"}, "train = . needs folds"),
        ({"folds": 0, "train": "train"}, "copies = together needs folds"),
        ({"test": "test"}, "test = test can't lie beside train = ."),
        ({"folds": 0, "copies": "apart", "train": "val"}, "train and val are the same folder"),
        ({"train": "../else"}, "train"),
    ],
)
def test_what_does_not_fit_together_is_said(root, changed, message):
    with pytest.raises(ValidationError, match=message):
        undivided(root, **changed)


def test_a_class_of_copies_alone_is_one_clear_error(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(6):
            (tmp_path / name / f"{number}.png").write_bytes(encoded(pixels(0, number if name == "cat" else 99)))
    with pytest.raises(SklabError, match=r"a class has 1 images that are no copies of others; data.folds = 5 needs"):
        load(undivided(tmp_path))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.binary(max_size=2), max_size=12))
def test_equal_contents_and_no_others_have_one_first_file(tmp_path_factory, contents):
    root = tmp_path_factory.mktemp("contents")
    files = [root / str(number) for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    first = by_content([str(file) for file in files])
    assert first.tolist() == [contents.index(content) for content in contents]
