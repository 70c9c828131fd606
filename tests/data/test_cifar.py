import os
import shutil

import numpy as np
import pytest
import torch

from sklab.data.kept import read_inventory
from sklab.data.loaders import open_loaders
from sklab.data.sets import cifar10, cifar100
from sklab.errors import SklabError
from sklab.spec.train import Augment, TrainSpec

RECIPE = TrainSpec(epochs=1, batch_size=8, lr=0.1, augment=Augment(pad_crop=4, flip=True))


def write(folder, file, labels, header=1):
    """Records as they are published: [coarse class,] class, 1024 bytes each of red, green and blue."""
    random = np.random.default_rng(len(labels))
    pixels = random.integers(0, 256, (len(labels), 3, 32, 32), dtype=np.uint8)
    before = np.zeros((len(labels), header), dtype=np.uint8)
    before[:, -1] = labels
    (folder / file).write_bytes(np.concatenate([before, pixels.reshape(len(labels), -1)], axis=1).tobytes())
    return pixels


@pytest.fixture
def ten(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    batches = [write(folder, f"data_batch_{number}.bin", range(10)) for number in range(1, 6)]
    test = write(folder, "test_batch.bin", [9, 8, 7])
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (folder / "batches.meta.txt").write_text("\n".join(names) + "\n\n")
    return tmp_path, np.concatenate(batches), test


def test_images_and_classes_are_those_of_the_files(ten):
    root, train, test = ten
    for place in (root, root / "cifar-10-batches-bin"):
        splits = cifar10.load(cifar10.Spec(root=str(place)))
        assert np.array_equal(splits.train.images, train)
        assert np.array_equal(splits.val.images, test)
        assert splits.train.labels.tolist() == list(range(10)) * 5
        assert [splits.classes[label] for label in splits.val.labels] == ["truck", "ship", "horse"]


def test_what_is_no_file_is_not_waited_for(ten):
    file = ten[0] / "cifar-10-batches-bin" / "test_batch.bin"
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(SklabError, match=r"test_batch\.bin: no regular file"):
        cifar10.load(cifar10.Spec(root=str(ten[0])))


def test_the_set_is_augmented_as_one_tensor(ten, shared_cache):
    cached = set(shared_cache.iterdir())
    loaders = open_loaders(cifar10.Spec(root=str(ten[0])), RECIPE, 0, torch.device("cpu"))
    images, labels = next(iter(loaders.train))
    assert (images.shape, labels.dtype) == ((8, 3, 32, 32), torch.int64)
    assert set(shared_cache.iterdir()) == cached, "what is read as fast as the cache is not kept there"


def test_the_fine_classes_of_cifar_100(tmp_path):
    train = write(tmp_path, "train.bin", range(100), header=2)
    write(tmp_path, "test.bin", [99], header=2)
    (tmp_path / "fine_label_names.txt").write_text("\n".join(f"class{number}" for number in range(100)))
    splits = cifar100.load(cifar100.Spec(root=str(tmp_path)))
    assert np.array_equal(splits.train.images, train)
    assert splits.train.labels.tolist() == list(range(100))
    assert splits.classes[splits.val.labels[0]] == "class99"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "data_batch_3.bin").unlink(), r"data_batch_3\.bin: No such file.*binary version"),
        (lambda folder: (folder / "test_batch.bin").write_bytes(b"x" * 3072), r"test_batch\.bin: 3072 bytes, not"),
        (lambda folder: (folder / "test_batch.bin").write_bytes(b""), r"test_batch\.bin: 0 bytes"),
        (lambda folder: write(folder, "data_batch_1.bin", [10]), r"data_batch_1\.bin: class numbers above 9"),
        (lambda folder: (folder / "batches.meta.txt").write_text("cat dog"), r"meta\.txt: 2 classes; .* = 10"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_files_is_said(ten, spoil, message):
    spoil(ten[0] / "cifar-10-batches-bin")
    with pytest.raises(SklabError, match=message):
        cifar10.load(cifar10.Spec(root=str(ten[0])))


def test_the_fingerprint_is_of_images_and_classes(ten, tmp_path):
    before = read_inventory(cifar10.Spec(root=str(ten[0])))
    shutil.copytree(ten[0] / "cifar-10-batches-bin", tmp_path / "copy")
    assert read_inventory(cifar10.Spec(root=str(tmp_path / "copy"))) == before
    file = tmp_path / "copy" / "data_batch_3.bin"
    data = bytearray(file.read_bytes())
    data[5000] ^= 1
    file.write_bytes(data)
    assert not read_inventory(cifar10.Spec(root=str(tmp_path / "copy"))).fingerprint.same_as(before.fingerprint)
