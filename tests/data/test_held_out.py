"""The third split of each data set: apart from the others, unknown to a run's key, and listed without being opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import sklearn.datasets
import test_cifar
import test_parquet
import torch
from PIL import Image
from pydantic import ValidationError

from sklab.data.base import ArraySplit
from sklab.data.check import check
from sklab.data.held_out import open_test
from sklab.data.kept import list_test, load_undecoded
from sklab.data.sets import cifar10, image_folder, parquet, scaled_digits, stand_in
from sklab.errors import SklabError
from sklab.spec.run import Experiment, RunSpec
from sklab.spec.train import TrainSpec

CPU = torch.device("cpu")
RECIPE = TrainSpec(epochs=1, batch_size=2, lr=0.1)
MODEL = {
    "stem": "small", "stem_width": 4, "depths": [1], "width": 8, "out_width": 8, "cardinality": 2,
    "branches": [{"kernel": 3}], "attention": "none",
}  # fmt: skip


def key(data, classes=2, channels=3):
    model = {**MODEL, "num_classes": classes, "in_channels": channels}
    experiment = Experiment.model_validate({"data": data, "model": model, "train": RECIPE})
    return RunSpec(experiment=experiment, seed=0).key


def opened(spec):
    return [torch.cat(parts) for parts in zip(*open_test(spec, RECIPE, CPU).loader, strict=True)]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_digit_of_one_split_is_a_source_of_another(seed):
    labels = sklearn.datasets.load_digits().target
    parts = scaled_digits.split_sources(labels, seed, test=True)
    assert sorted(np.concatenate(parts)) == list(range(1797))
    for pool in parts[1:]:
        assert np.abs(np.bincount(labels[pool]) / np.bincount(labels) - 0.25).max() < 0.01
    spec = scaled_digits.Spec(seed=seed, train_size=2000, val_size=500, test=500)
    splits, test = load_undecoded(spec), scaled_digits.load_test(spec).images
    sources = [set(split.extras["source"]) for split in (splits.train, splits.val, test)]
    assert [len(of_split) for of_split in sources] == [len(pool) for pool in parts]
    assert len(set.union(*sources)) == 1797


def test_validation_digits_are_the_same_with_and_without_a_third_split():
    plain, split = (scaled_digits.Spec(train_size=20, val_size=50, test=test) for test in (None, 20))
    assert np.array_equal(scaled_digits.load(plain).val.images, scaled_digits.load(split).val.images)
    assert key(plain.model_dump(), 10, 1) != key(split.model_dump(), 10, 1), "training digits are others"
    unset = plain.model_dump(exclude={"test"})
    assert key(unset, 10, 1) == key(plain.model_dump(), 10, 1)


@pytest.fixture
def photos(tmp_path):
    for split, level in (("train", 30), ("val", 90), ("kept", 150)):
        for name, more in (("cat", 0), ("dog", 60)):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(3):
                Image.new("RGB", (16, 16), (level + more, 0, 0)).save(tmp_path / split / name / f"{number}.png")
    return tmp_path


def folder(root, **settings):
    given = {"name": "image_folder", "num_classes": 2, "image_size": 16, "resize": 16, **settings}
    return image_folder.Spec(root=str(root), **given)


def test_a_folder_beside_train_and_val(photos):
    spec = folder(photos, test="kept", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    images, labels = opened(spec)
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.equal(torch.unique(images[:, 0] * 255).round(), torch.tensor([150.0, 210.0]))
    assert torch.equal(opened(spec.model_copy(update={"in_memory": True}))[0], images)


def test_it_is_no_part_of_a_key_of_a_folder(photos):
    plain, split = folder(photos), folder(photos, test="kept")
    assert key(plain.model_dump()) == key(split.model_dump())
    assert plain.identity() == split.identity()


def test_images_of_it_that_are_no_images_fail_nothing_until_it_is_opened(photos):
    spec = folder(photos, test="kept")
    before = list_test(spec)
    for file in (photos / "kept").rglob("*.png"):
        file.write_bytes(b"\0" * file.stat().st_size)
    assert check(spec, [RECIPE], every_image=True).inventory == check(folder(photos), [RECIPE]).inventory
    assert list_test(spec) == before
    with pytest.raises(SklabError, match=r"kept/cat/0\.png"):
        opened(spec.model_copy(update={"in_memory": True}))
    skipping = spec.model_copy(update={"in_memory": True, "skip_corrupt": True})
    with pytest.raises(SklabError, match="the test split has no images"):
        opened(skipping)


def test_its_files_are_listed_and_a_set_without_it_lists_none(photos):
    assert {Path(file).parts[-3] for file in list_test(folder(photos, test="kept"))} == {"kept"}
    assert list_test(folder(photos)) == []


def test_a_folder_that_is_missing_or_has_other_classes_is_told_before_any_run(photos):
    with pytest.raises(SklabError, match=r"gone: no such folder .* gone/ \(data\.test\)"):
        check(folder(photos, test="gone"), [RECIPE])
    (photos / "kept" / "bird").mkdir()
    with pytest.raises(SklabError, match="train and kept must hold the same classes; only in one of them: bird"):
        check(folder(photos, test="kept"), [RECIPE])


@pytest.mark.parametrize("name", ["train", "val", "../kept", "a/b", ""])
def test_what_is_no_folder_beside_the_others(photos, name):
    with pytest.raises(ValidationError):
        folder(photos, test=name)


def test_the_official_test_images_of_cifar(tmp_path):
    place = tmp_path / "cifar-10-batches-bin"
    place.mkdir()
    trained = np.concatenate([
        test_cifar.write(place, f"data_batch_{number}.bin", [number] * (40 + number)) for number in range(1, 6)
    ])  # fmt: skip
    test = test_cifar.write(place, "test_batch.bin", [9, 8, 7])
    (place / "batches.meta.txt").write_text("\n".join(f"class{number}" for number in range(10)))
    spec = cifar10.Spec(root=str(tmp_path), test="official", val_size=100)
    splits, third = cifar10.load(spec), cifar10.load_test(spec).images
    assert np.array_equal(splits.train.images, trained[:-100])
    assert np.array_equal(splits.val.images, trained[-100:])
    assert np.array_equal(third.images, test)
    assert spec.images[:2] == (49_900, 100)
    plain = cifar10.Spec(root=str(tmp_path))
    assert np.array_equal(cifar10.load(plain).val.images, test)
    assert key(plain.model_dump(), 10) == key(plain.model_dump(exclude={"test", "val_size"}), 10)
    assert key(spec.model_dump(), 10) != key(plain.model_dump(), 10)
    (place / "test_batch.bin").unlink()
    assert len(cifar10.load(spec).train.labels) == 115, "the test file is not read"
    with pytest.raises(SklabError, match=r"test_batch\.bin: no such file"):
        check(spec, [RECIPE])


def test_a_size_of_validation_goes_with_the_official_test_images():
    with pytest.raises(ValidationError, match="val_size goes with test: official"):
        cifar10.Spec(root="x", val_size=100)


def test_parquet_files_by_a_pattern(tmp_path):
    for split, labels in (("train", [0, 1, 0, 1]), ("val", [1, 0]), ("held", [1, 1, 0])):
        pq.write_table(test_parquet.table(labels, first=len(labels)), tmp_path / f"{split}-0.parquet")
    spec = parquet.Spec(root=str(tmp_path), num_classes=2, image_size=32, resize=32, test="held*")
    assert parquet.load_test(spec).images.labels.tolist() == [1, 1, 0]
    assert parquet.load_test(spec).classes == ("cat", "dog")
    assert list_test(spec) == [str(tmp_path / "held-0.parquet")]
    with pytest.raises(SklabError, match="fits this file, and so does"):
        list_test(spec.model_copy(update={"test": "*-0*"}))
    with pytest.raises(SklabError, match=r"no \.parquet or \.arrow file fits data\.test"):
        list_test(spec.model_copy(update={"test": "gone*"}))


def test_a_toy_has_one_where_its_sweep_has_one():
    spec = stand_in.Spec(num_classes=3, channels=1, image_size=8, test="noise")
    assert isinstance(stand_in.load_test(spec).images, ArraySplit)
    assert len(opened(spec)[1]) == stand_in.TEST


def test_a_set_without_one_says_so(photos):
    with pytest.raises(SklabError, match=r"there is no test split; data\.test names one"):
        open_test(folder(photos), RECIPE, CPU)
