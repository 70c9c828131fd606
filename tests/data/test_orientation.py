"""Photographs whose EXIF says how the camera was held."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import folder
from PIL import ExifTags, Image, ImageOps

from sklab.data import cache
from sklab.data.augment import crop_draws
from sklab.data.base import Encoded
from sklab.data.check import check
from sklab.data.formats.decode import centre, decode, random_resized, whole
from sklab.data.sets.image_folder import Spec
from sklab.spec.networks import network
from sklab.spec.run import Experiment, RunSpec
from sklab.spec.train import TrainSpec

RECIPE = TrainSpec(epochs=1, batch_size=2, lr=0.1)
ways, sides = st.integers(1, 8), st.integers(2, 90)


def photo(way, width, height, kind="JPEG"):
    """A picture that differs in every corner, with an EXIF orientation."""
    image = Image.new("RGB", (width, height))
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    image = Image.fromarray(np.stack([across, down, across * down / 255], 2).astype(np.uint8))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = way
    stream = io.BytesIO()
    quality = {"TIFF": {}, "PNG": {}}.get(kind, {"quality": 95})
    image.save(stream, kind, exif=exif, **quality)
    return stream.getvalue()


def held_upright(data):
    """By Pillow itself, as a file without EXIF and without loss."""
    stream = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        Image.fromarray(np.array(ImageOps.exif_transpose(image))).save(stream, "PNG")
    return Encoded("upright", stream.getvalue())


@given(ways, sides, sides, st.integers(8, 40), st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF"]))
@settings(max_examples=80, deadline=None)
def test_an_image_is_turned_as_pillow_turns_it_whatever_its_kind(way, width, height, size, kind):
    data = photo(way, width, height, kind)
    turned, expected = Encoded("photo", data), held_upright(data)
    assert np.array_equal(whole(turned, upright=True), whole(expected))
    views = [lambda: centre(size, size), lambda: random_resized((0.1, 1.0), crop_draws(0, 0, way))]
    for view in views:
        ours, theirs = decode(turned, size, view(), upright=True), decode(expected, size, view())
        if kind != "JPEG" or min(width, height) < 2 * size:  # not decoded at a fraction of its size
            assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("way", range(1, 9))
def test_a_large_jpeg_is_turned_though_it_is_decoded_at_a_fraction_of_its_size(way):
    data = photo(way, 640, 480)
    ours = decode(Encoded("photo", data), 32, centre(40, 32), upright=True).astype(int)
    assert np.abs(ours - decode(held_upright(data), 32, centre(40, 32))).max() <= 6


@given(ways, st.sampled_from(["JPEG", "PNG", "WEBP"]))
@settings(max_examples=20, deadline=None)
def test_by_default_pixels_stay_as_the_camera_wrote_them(way, kind):
    plain, turned = (Encoded("photo", photo(number, 40, 24, kind)) for number in (1, way))
    assert np.array_equal(whole(turned), whole(plain))
    assert np.array_equal(decode(turned, 8, centre(8, 8)), decode(plain, 8, centre(8, 8)))


@pytest.mark.parametrize("way", [0, 9, 77])
def test_an_orientation_that_there_is_not_turns_nothing(way):
    data = photo(way, 40, 24)
    assert np.array_equal(whole(Encoded("photo", data), upright=True), whole(Encoded("photo", data)))


def test_damaged_exif_costs_the_orientation_not_the_image():
    data = photo(6, 40, 24)
    at = data.index(b"Exif\0\0") + 6
    damaged = Encoded("photo", data[:at] + b"\xff" * 12 + data[at + 12 :])
    assert np.array_equal(whole(damaged, upright=True), whole(damaged))
    assert decode(damaged, 8, centre(8, 8), upright=True).shape == (3, 8, 8)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Five of 24 photographs are turned; one of them is a TIFF, which Pillow turns by itself."""
    monkeypatch.setenv("SKLAB_CACHE", str(tmp_path / "cache"))
    root = folder(tmp_path / "set", suffix="jpg")
    for number, way in enumerate((3, 6, 8, 5)):
        (root / "train" / "cat" / f"{number}.jpg").write_bytes(photo(way, 32, 32))
    (root / "train" / "cat" / "4.jpg").write_bytes(photo(6, 32, 32, "TIFF"))
    return root


def spec(root, **data):
    return Spec(**{"root": str(root), "num_classes": 2, "image_size": 32, "resize": 32, **data})


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(
    ("exif", "told"),
    [
        ("ignore", "it is ignored, so they may lie on their side; data.exif: apply turns them upright"),
        ("apply", "they are turned upright (data.exif: apply)"),
    ],
)
def test_how_many_images_carry_one_is_told(root, in_memory, exif, told):
    notices = check(spec(root, in_memory=in_memory, exif=exif), [RECIPE]).notices
    assert notices[0] == "data set image_folder: all 24 images were opened"
    assert notices[1] == f"data set image_folder: 4 of the 24 images opened carry an EXIF orientation: {told}"


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_setting_reaches_the_images(root, in_memory):
    seen = {}
    for exif in ("ignore", "apply"):
        split = cache.load_splits(spec(root, in_memory=in_memory, exif=exif)).train
        where = centre(32, 32)
        seen[exif] = split.images[1] if in_memory else decode(split.files[1], 32, where, upright=split.upright)
    assert np.array_equal(seen["apply"], np.rot90(seen["ignore"], -1, (1, 2)))


def test_it_changes_a_key_only_where_it_is_applied():
    def key(**data):
        described = {"name": "image_folder", "root": "/data/a", "num_classes": 10, "image_size": 32, **data}
        experiment = {"data": described, "model": network("sknet26", num_classes=10), "train": RECIPE}
        return RunSpec(experiment=Experiment.model_validate(experiment), seed=0).key

    assert key() == key(exif="ignore") != key(exif="apply")
