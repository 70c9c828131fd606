"""What a set holds, told by its fingerprint: the same wherever it lies, another one after any change."""

import os
import shutil

import numpy as np
import pictures
import pytest

from sklab.data import fingerprint as of_data
from sklab.data.base import ArraySplit, Splits
from sklab.data.cache import load_splits
from sklab.data.check import check
from sklab.data.fingerprint import inventory
from sklab.data.kept import read_inventory
from sklab.data.sets import digits28, image_folder, photo_patches, scaled_digits
from sklab.errors import SklabError
from sklab.spec.data import changes
from sklab.spec.train import TrainSpec


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Two classes with two and three files each per split; nothing looks into them."""
    monkeypatch.setenv("SKLAB_CACHE", str(tmp_path / "cache"))
    for split in ("train", "val"):
        for name, count in (("cat", 2), ("dog", 3)):
            folder = tmp_path / "pets" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.png").write_bytes(f"{split} {name} {number}".encode())
    return tmp_path / "pets"


def look(root, *, whole=False):
    held = load_splits(image_folder.Spec(root=str(root), num_classes=2), whole=whole).inventory
    assert held is not None
    return held


def test_it_stays_when_the_folder_moves_or_is_copied(root, tmp_path):
    before = look(root)
    shutil.copytree(root, tmp_path / "copy")
    shutil.move(root, tmp_path / "elsewhere")
    for place in ("copy", "elsewhere"):
        now = look(tmp_path / place)
        assert now == before
        assert changes(before, now) == ()


def added(root):
    (root / "train/cat/new.png").write_bytes(b"new")


def removed(root):
    (root / "val/dog/1.png").unlink()


def relabelled(root):
    (root / "train/cat/0.png").rename(root / "train/dog/cat.png")


def renamed(root):
    (root / "val/cat/0.png").rename(root / "val/cat/zero.png")


def exchanged(root):
    file = root / "train/cat/1.png"
    file.write_bytes(file.read_bytes()[::-1])


def called_otherwise(root):
    for split in ("train", "val"):
        (root / split / "cat").rename(root / split / "lion")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (added, ["1 image more in train/cat"]),
        (removed, ["1 image fewer in val/dog"]),
        (relabelled, ["1 image fewer in train/cat", "1 image more in train/dog"]),
        (renamed, ["as many images in val/cat, but others"]),
        (exchanged, ["other contents of images whose names and sizes are as before"]),
        (called_otherwise, ["train/cat is gone", "train/lion is new", "val/cat is gone", "val/lion is new"]),
    ],
)
def test_every_change_of_the_images_is_told(root, change, told):
    before = look(root)
    change(root)
    now = look(root)
    assert not now.fingerprint.same_as(before.fingerprint)
    assert list(changes(before, now)) == told
    assert list(changes(now, before)) != []


def test_of_many_changes_the_first_are_told(root):
    before = look(root)
    for number in range(8):
        for split in ("train", "val"):
            (root / split / f"class {number}").mkdir()
            (root / split / f"class {number}" / "a.png").write_bytes(b"a")
    now = read_inventory(image_folder.Spec(root=str(root), num_classes=10))
    assert changes(before, now)[-1] == "and 11 more changes"


def test_contents_are_read_once_and_again_when_a_file_was_written(root, monkeypatch):
    read = []
    plain = of_data._bytes
    monkeypatch.setattr(of_data, "_bytes", lambda picture: read.append(picture) or plain(picture))
    before = look(root)
    assert len(set(read)) == 10
    read.clear()
    assert look(root) == before
    assert read == []
    file = root / "train/cat/0.png"
    times = file.stat()
    file.write_bytes(file.read_bytes().upper())
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # the time of change stays, that of the inode does not
    assert not look(root).fingerprint.same_as(before.fingerprint)


def test_of_a_large_set_a_sample_is_read_and_all_on_demand(root, monkeypatch):
    whole = look(root).fingerprint
    monkeypatch.setattr(of_data, "LARGEST_READ", 10)
    monkeypatch.setattr(of_data, "SAMPLE", 2)
    sampled = look(root).fingerprint
    assert (sampled.listing, sampled.contents) == (whole.listing, "")
    middle = root / "train/dog/0.png"  # of five images the first and the last are read
    middle.write_bytes(middle.read_bytes()[::-1])
    assert look(root).fingerprint == sampled, "what a sample can't see"
    read = look(root, whole=True).fingerprint
    assert read.contents not in ("", whole.contents)
    assert look(root).fingerprint == read, "what was read once is known"
    assert read.same_as(sampled), "as far as both were read"
    exchanged_last = root / "val/dog/2.png"
    exchanged_last.write_bytes(exchanged_last.read_bytes()[::-1])
    assert not look(root).fingerprint.same_as(sampled)


def test_a_file_that_can_not_be_read_is_named(root):
    spec = image_folder.Spec(root=str(root), num_classes=2)
    splits = image_folder.load(spec)
    (root / "train/dog/1.png").unlink()
    with pytest.raises(SklabError, match=r"train/dog/1\.png: can't be read"):
        inventory(spec, splits)


@pytest.mark.parametrize("drawn", [scaled_digits, photo_patches, digits28])
def test_sets_that_their_settings_decide_have_none(drawn):
    assert read_inventory(drawn.Spec()) is None


def test_arrays_differ_by_pixels_labels_and_extras():
    random = np.random.default_rng(0)

    def held(images, labels, extra=0.0):
        split = ArraySplit(images, labels, {"scale": np.full(len(labels), extra, dtype=np.float32)})
        return inventory(scaled_digits.Spec(), Splits(split, split, ("a", "b"))).fingerprint

    images, labels = random.integers(0, 256, (6, 1, 4, 4), dtype=np.uint8), np.array([0, 1, 0, 1, 0, 1])
    first = held(images, labels)
    assert held(images.copy(), labels.copy()) == first
    other = images.copy()
    other[3, 0, 2, 2] ^= 1
    for changed in (held(other, labels), held(images, labels[::-1].copy()), held(images, labels, 1.0)):
        assert not changed.same_as(first)


def test_the_doctor_reads_all_contents_of_a_large_set(tmp_path, monkeypatch):
    monkeypatch.setenv("SKLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(of_data, "LARGEST_READ", 10)
    spec = image_folder.Spec(root=str(pictures.folder(tmp_path / "pets")), num_classes=2, image_size=32, resize=32)
    recipe = TrainSpec(epochs=1, batch_size=2, lr=0.1)
    assert check(spec, [recipe]).inventory.fingerprint.contents == ""
    read = check(spec, [recipe], every_image=True).inventory.fingerprint
    assert read.contents != ""
    assert read_inventory(spec).fingerprint == read, "and runs know it from then on"
