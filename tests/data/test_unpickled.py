"""Nothing that lies where data lie is unpickled: whoever can write a file there would run code here."""

import os
import pickle
import zipfile

import numpy as np
import pytest
from pictures import encoded, folder, pixels

from sklab.data import cache, kept
from sklab.data.sets import cifar10, hub, image_folder, parquet
from sklab.errors import SklabError


class Trap:
    """Leaves a file behind wherever it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """The bytes of a pickle that is told if somebody opens it."""
    monkeypatch.setenv("SKLAB_CACHE", str(tmp_path / "cache"))
    sprung = tmp_path / "sprung"
    yield pickle.dumps(Trap(sprung))
    assert not sprung.exists()


def test_a_trap_is_told(tmp_path):
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()


def test_a_cached_set_that_is_a_pickle_is_made_anew(tmp_path, trap):
    root = folder(tmp_path / "set")
    spec = image_folder.Spec(root=str(root), num_classes=2, image_size=32, resize=32, in_memory=True)
    expected = cache.load_splits(spec)
    (file,) = (tmp_path / "cache").glob("*.npz")
    file.write_bytes(trap)  # numpy takes a file without its own head for a pickle
    assert np.array_equal(cache.load_splits(spec).val.images, expected.val.images)
    head = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n"
    with zipfile.ZipFile(file, "w") as archive:  # an array of objects, as numpy writes it
        for name in ("classes", "train.images", "train.labels", "val.images", "val.labels"):
            archive.writestr(f"{name}.npy", head + trap)
    assert np.array_equal(cache.load_splits(spec).val.images, expected.val.images)
    with np.load(file, allow_pickle=False) as arrays:
        assert np.array_equal(arrays["val.images"], expected.val.images)


def test_an_array_of_objects_is_not_kept(tmp_path):
    with pytest.raises(ValueError, match="pickle"):
        kept._write(tmp_path / "x.npz", {"classes": np.array([None], dtype=object)})


@pytest.mark.parametrize("suffix", ["arrow", "parquet"])
def test_a_type_of_arrow_that_brings_a_pickle_is_not_asked_for_it(tmp_path, trap, suffix):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    told = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": trap}
    fields = [pa.field("image", pa.binary(), metadata=told), pa.field("label", pa.int64(), metadata=told)]
    table = pa.table([[encoded(pixels(label, 0)) for label in (0, 1)], [0, 1]], schema=pa.schema(fields))
    for split in ("train", "val"):
        file = str(tmp_path / f"{split}.{suffix}")
        if suffix == "parquet":
            pq.write_table(table, file)
        else:
            with pa.ipc.new_file(file, table.schema) as stream:
                stream.write_table(table)
    spec = parquet.Spec(root=str(tmp_path), num_classes=2, image_size=32, resize=32, in_memory=True)
    assert cache.load_splits(spec).train.labels.tolist() == [0, 1]


def test_the_python_version_of_cifar_is_not_read(tmp_path, trap):
    python = tmp_path / "cifar-10-batches-py"
    python.mkdir()
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"):
        (python / name).write_bytes(trap)
    for root in (tmp_path, python):
        with pytest.raises(SklabError, match="binary version"):
            cache.load_splits(cifar10.Spec(root=str(root)))


@pytest.mark.filterwarnings("ignore")  # of the library
@pytest.mark.parametrize("path", ["pandas", "./set", "set/set.py"])
def test_no_script_and_no_pickle_stands_in_for_a_set_of_the_hub(tmp_path, trap, monkeypatch, path):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    for place in (tmp_path, tmp_path / "set"):
        for split in ("train", "validation"):
            (place / f"{split}.pkl").write_bytes(trap)
    (tmp_path / "set" / "set.py").write_text("import os\nos.mkdir('sprung')\n")
    with pytest.raises(SklabError, match=r"\(train\): not loaded"):
        hub.load(hub.Spec(path=path, num_classes=2))
