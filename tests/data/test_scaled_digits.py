import hashlib

import numpy as np
import pytest
import sklearn.datasets
from pydantic import ValidationError
from scipy import stats

from sklab.data.sets import scaled_digits
from sklab.data.sets.scaled_digits import Spec, load, split_sources

SMALL = Spec(train_size=300, val_size=100)


@pytest.fixture(scope="module")
def uci():
    return sklearn.datasets.load_digits()


@pytest.fixture(scope="module")
def splits():
    return load(SMALL)


def sha256(splits):
    parts = [
        array.astype(array.dtype.newbyteorder("<")).tobytes()
        for split in (splits.train, splits.val)
        for array in (split.images, split.labels, split.extras["scale"], split.extras["source"])
    ]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def test_the_bytes_are_the_same_on_every_machine(splits):
    assert sha256(splits) == "9974c55384b3650a7a77163bf21bb5346f1e0cba9c43a03941654852abdf78d2"


def test_how_many_are_drawn_at_a_time_changes_nothing(splits, monkeypatch):
    monkeypatch.setattr(scaled_digits, "CHUNK", 7)
    assert sha256(load(SMALL)) == sha256(splits)


def test_shapes_and_types(splits):
    assert splits.train.images.shape == (300, 1, 32, 32)
    assert splits.train.images.dtype == np.uint8
    assert splits.val.labels.shape == (100,)
    assert splits.val.labels.dtype == np.int64
    assert splits.classes == tuple("0123456789")


def test_another_seed_is_another_set(splits):
    other = load(Spec(train_size=300, val_size=100, seed=1))
    assert (other.train.images != splits.train.images).any(axis=(1, 2, 3)).all()


def test_a_larger_set_begins_with_the_smaller(splits):
    larger = load(Spec(train_size=450, val_size=150))
    assert np.array_equal(larger.train.images[:300], splits.train.images)
    assert np.array_equal(larger.val.extras["scale"][:100], splits.val.extras["scale"])


@pytest.mark.parametrize("seed", range(5))
def test_the_split_is_by_source_and_stratified(uci, seed):
    train, val, _ = split_sources(uci.target, seed)
    assert sorted([*train, *val]) == list(range(1797))
    shares = np.bincount(uci.target[val]) / np.bincount(uci.target)
    assert np.abs(shares - 0.25).max() < 0.01


@pytest.mark.parametrize(("blanked", "kept"), [("train", "val"), ("val", "train")])
def test_no_stroke_of_one_split_is_drawn_in_the_other(uci, splits, monkeypatch, blanked, kept):
    sources = dict(zip(("train", "val"), split_sources(uci.target, SMALL.seed)[:2], strict=True))
    uci = sklearn.utils.Bunch(**{**uci, "images": uci.images.copy()})
    uci.images[sources[blanked]] = 16.0
    monkeypatch.setattr(sklearn.datasets, "load_digits", lambda: uci)
    changed = load(SMALL)
    assert np.array_equal(getattr(changed, kept).images, getattr(splits, kept).images)
    assert not np.array_equal(getattr(changed, blanked).images, getattr(splits, blanked).images)


def test_labels_belong_to_the_sources(uci, splits):
    for split in (splits.train, splits.val):
        assert np.array_equal(split.labels, uci.target[split.extras["source"].astype(int)])


def test_every_source_is_used_equally_often(uci):
    train = load(Spec(train_size=1400, val_size=10)).train
    uses = np.bincount(train.extras["source"].astype(int))
    assert set(uses[uses > 0]) == {1, 2}


def test_scales_are_uniform_between_1_and_3():
    scale = load(Spec(train_size=1000, val_size=10)).train.extras["scale"]
    assert scale.min() >= 1
    assert scale.max() <= 3
    assert stats.kstest(scale, stats.uniform(1, 2).cdf).pvalue > 0.01


def test_the_whole_digit_is_there_at_its_scale_and_contrast(uci, splits, monkeypatch):
    monkeypatch.setattr(scaled_digits, "CLUTTER_INK", (0.0, 0.0))
    alone = load(SMALL).train
    strokes = uci.images[alone.extras["source"].astype(int)].sum(axis=(1, 2)) / 16
    ink = alone.images.sum(axis=(1, 2, 3)) / 255 / (strokes * alone.extras["scale"] ** 2)
    assert ink.min() > 0.5 - 0.03
    assert ink.max() < 1.0 + 0.03
    assert np.quantile(ink, 0.9) - np.quantile(ink, 0.1) > 0.3
    # Clutter lies under the digit: it never makes a pixel darker.
    assert (splits.train.images >= alone.images).all()
    assert (splits.train.images > alone.images).any(axis=(1, 2, 3)).mean() > 0.95


def test_the_digit_is_of_the_size_that_scale_says(monkeypatch):
    monkeypatch.setattr(scaled_digits, "CLUTTER_INK", (0.0, 0.0))
    train = load(SMALL).train
    lit = train.images[:, 0] > 0
    height = lit.any(axis=2).sum(axis=1)
    assert np.abs(height / train.extras["scale"] - 8).max() < 2
    assert not lit.all(axis=(1, 2)).any()


@pytest.mark.parametrize("wrong", [{"num_classes": 9}, {"image_size": 28}, {"train_size": 1}, {"seed": -1}, {"sed": 1}])
def test_settings_that_can_not_be(wrong):
    with pytest.raises(ValidationError):
        Spec(**wrong)
