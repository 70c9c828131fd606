import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats
from sklearn.ensemble import RandomForestClassifier

from sklab.data.held_out import open_test
from sklab.data.sets import photo_patches
from sklab.data.sets.photo_patches import CELL, MARGIN, PHOTOS, WIDEST, Spec, divided, load, load_test
from sklab.errors import SklabError
from sklab.spec.train import TrainSpec

SMALL = Spec(train_size=300, val_size=100, test=100)
PARTS = ("train", "val", "test")


@pytest.fixture(scope="module")
def photos():
    return {name: photo_patches._photo(name) for name in PHOTOS}


def drawn(spec):
    splits = load(spec)
    return dict(zip(PARTS, (splits.train, splits.val, load_test(spec).images), strict=True))


@pytest.fixture(scope="module")
def parts():
    return drawn(SMALL)


def sha256(parts):
    arrays = [
        array.astype(array.dtype.newbyteorder("<")).tobytes()
        for part in parts.values()
        for array in (part.images, part.labels, part.extras["scale"], part.extras["source"])
    ]
    return hashlib.sha256(b"".join(arrays)).hexdigest()


def test_the_bytes_are_the_same_on_every_machine(parts):
    assert sha256(parts) == "4a94cfbcb0acadffb5a5d34f0dacad3279a88539af3527185a8a0246256981a5"


def test_shapes_types_and_classes(parts):
    train = parts["train"]
    assert train.images.shape == (300, 3, 32, 32)
    assert (train.images.dtype, train.labels.dtype) == (np.uint8, np.int64)
    assert load(SMALL).classes == photo_patches.CLASSES == (*tuple(PHOTOS)[:-1], "motorcycle")
    assert all(set(np.bincount(part.labels)) == {len(part.labels) // 10} for part in parts.values())


def test_another_seed_is_another_set_and_a_larger_set_begins_with_the_smaller(parts):
    other = load(SMALL.model_copy(update={"test": None}).split_anew(1)).train
    assert (other.images != parts["train"].images).any(axis=(1, 2, 3)).all()
    larger = load(SMALL.model_copy(update={"train_size": 330, "val_size": 110}))
    assert np.array_equal(larger.train.images[:300], parts["train"].images)
    assert np.array_equal(larger.val.extras["scale"][:100], parts["val"].extras["scale"])


def marked(photos, monkeypatch, change):
    monkeypatch.setattr(photo_patches, "_photo", lambda name: change(photos[name]))
    return drawn(SMALL)


@pytest.mark.parametrize("touched", PARTS)
def test_no_pixel_is_in_two_splits(photos, parts, monkeypatch, touched):
    """All pixels of one split's cells are changed, and a margin around them: the other splits stay as they were."""
    sources = set(parts[touched].extras["source"].astype(int))
    number = iter(range(10_000))

    def mark(photo):
        photo = photo.copy()
        for rows in np.array_split(np.arange(photo.shape[0]), photo.shape[0] // CELL):
            for columns in np.array_split(np.arange(photo.shape[1]), photo.shape[1] // CELL):
                if next(number) in sources:
                    around = [slice(max(at[0] - MARGIN, 0), at[-1] + 1 + MARGIN) for at in (rows, columns)]
                    photo[tuple(around)] ^= 255
        return photo

    copies = {name: mark(photo) for name, photo in photos.items()}
    changed = marked(copies, monkeypatch, lambda photo: photo)
    for name in PARTS:
        differ = (changed[name].images != parts[name].images).any(axis=(1, 2, 3))
        assert differ.all() if name == touched else not differ.any()


def test_every_cell_is_used_in_one_split_and_validation_is_the_same_without_a_test(parts):
    sources = [set(part.extras["source"]) for part in parts.values()]
    assert (
        sum(map(len, sources))
        == len(set.union(*sources))
        == len(divided(list(map(photo_patches._photo, PHOTOS))).labels)
    )
    plain = load(SMALL.model_copy(update={"test": None}))
    assert np.array_equal(plain.val.images, parts["val"].images)
    assert set(plain.train.extras["source"]) == sources[0] | sources[2]


def test_patches_of_one_cell_have_one_source_and_its_class(parts):
    labels = divided(list(map(photo_patches._photo, PHOTOS))).labels
    for part in parts.values():
        assert np.array_equal(part.labels, labels[part.extras["source"].astype(int)])


def test_scales_are_uniform_between_1_and_3():
    scale = load(Spec(train_size=1000, val_size=10)).train.extras["scale"]
    assert (scale.min(), scale.max()) == pytest.approx((1, 3), abs=0.05)
    assert stats.kstest(scale, stats.uniform(1, 2).cdf).pvalue > 0.01


def test_things_are_of_the_size_that_scale_says(monkeypatch):
    """Stripes of a known period, in a photograph's place, have it times the scale in a patch."""
    period, side = 16, 96
    rows = np.arange(4 * CELL)
    stripes = np.round(127.5 + 100 * np.sin(2 * np.pi * rows / period)).astype(np.uint8)
    photo = np.repeat(np.repeat(stripes[:, None, None], 4 * CELL, axis=1), 3, axis=2)
    monkeypatch.setattr(photo_patches, "_photo", lambda _: photo)
    train = load(Spec(image_size=side, train_size=60, val_size=10)).train
    profile = train.images[:, 0].mean(axis=2)
    power = np.abs(np.fft.rfft(profile - profile.mean(axis=1, keepdims=True), 8 * side, axis=1))
    found = 8 * side / power.argmax(axis=1)
    assert found == pytest.approx(period * train.extras["scale"] * side / WIDEST, rel=0.08)


@pytest.fixture(scope="module")
def larger():
    splits = load(Spec(train_size=2000, val_size=1000))
    return splits.train, splits.val


def test_the_mean_of_a_patch_says_nothing_of_its_photograph(larger):
    train, val = (part.images.mean(axis=(2, 3)) for part in larger)
    centres = np.array([train[larger[0].labels == label].mean(axis=0) for label in range(10)])
    nearest = ((val[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest != larger[1].labels).mean() > 0.85, "guessing errs in 90 %"
    assert np.ptp(train.mean(axis=1)) > 50


def colours(part):
    """[n, 6]: spread and correlation of the three channels, without any shape."""
    centred = part.images.reshape(len(part.labels), 3, -1) / 255
    centred -= centred.mean(axis=2, keepdims=True)
    products = np.einsum("nip,njp->nij", centred, centred) / centred.shape[2]
    spread = np.sqrt(np.einsum("nii->ni", products))
    return np.hstack([spread, (products / spread[:, :, None] / spread[:, None])[:, [0, 0, 1], [1, 2, 2]]])


def test_colours_without_shapes_are_not_enough(larger):
    train, val = larger
    forest = RandomForestClassifier(50, random_state=0).fit(colours(train), train.labels)
    assert 0.35 < (forest.predict(colours(val)) != val.labels).mean() < 0.55


def test_another_size_shows_the_same_parts(parts):
    wide = load(SMALL.at_size(96)).val
    assert wide.images.shape == (100, 3, 96, 96)
    assert np.array_equal(wide.extras["scale"], parts["val"].extras["scale"])
    shrunk = wide.images.reshape(100, 3, 32, 3, 32, 3).mean(axis=(3, 5))
    assert np.abs(shrunk - parts["val"].images).mean() < 6
    assert wide.images.nbytes == 9 * parts["val"].images.nbytes


@pytest.mark.parametrize(("size", "reason"), [(15, "greater than or equal to 16"), (257, "less than or equal to 256")])
def test_a_size_that_can_not_be_is_told(size, reason):
    with pytest.raises(SklabError, match=rf"image size {size} is not possible: Input should be {reason}"):
        SMALL.at_size(size)


def test_more_than_memory_holds_is_a_typing_mistake():
    with pytest.raises(
        ValidationError, match=r"6,002,000 patches of 64x64 pixels are too many; allowed: 699,050 in all"
    ):
        Spec(image_size=64, train_size=6_000_000)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 1000))
def test_resizing_keeps_what_is_even_and_the_mean_where_it_averages(rows, side, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (3, rows, 5)).astype(np.float64)
    resized = photo_patches._resized(pixels, side)
    assert resized.shape == (3, side, 5)
    assert resized.min() >= pixels.min() - 1e-9
    assert resized.max() <= pixels.max() + 1e-9
    assert np.allclose(photo_patches._resized(np.full_like(pixels, 7.0), side), 7.0)
    if side <= rows:
        assert np.allclose(resized.mean(axis=1), pixels.mean(axis=1))


def test_the_third_split_is_opened_as_the_others(parts):
    images, labels = next(
        iter(open_test(SMALL, TrainSpec(epochs=1, batch_size=100, lr=0.1), torch.device("cpu")).loader)
    )
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (Spec.mean, Spec.std))
    assert torch.equal(((images * std + mean) * 255).round().to(torch.uint8), torch.from_numpy(parts["test"].images))
    assert labels.tolist() == parts["test"].labels.tolist()


def test_where_a_test_is_set_the_split_is_one():
    assert list(Spec().why_one_split()) == []
    assert list(SMALL.why_one_split()) == ["data set photo_patches has one split where data.test is set"]


@pytest.mark.parametrize(
    "wrong", [{"num_classes": 9}, {"image_size": 8}, {"channels": 1}, {"train_size": 1}, {"sed": 1}]
)
def test_settings_that_can_not_be(wrong):
    with pytest.raises(ValidationError):
        Spec(**wrong)
