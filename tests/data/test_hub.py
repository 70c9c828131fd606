import sys
import types

import numpy as np
import pytest
from pictures import folder, pixels

from sklab.data import cache
from sklab.data.sets.hub import Spec, load
from sklab.errors import SklabError


def spec(path, **settings):
    given = {"path": str(path), "num_classes": 2, "image_size": 32, "resize": 32, "in_memory": True}
    return Spec(**{**given, **settings})


@pytest.mark.filterwarnings("ignore")  # of the library
def test_a_set_by_its_name(tmp_path, monkeypatch):
    """The library's own reading of a local folder stands in for the hub: what it gives is the same."""
    import datasets

    monkeypatch.setenv("SKLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    root, asked = folder(tmp_path / "set"), []
    read = datasets.load_dataset

    def from_folder(path, config, **how):
        asked.append((path, config, how))
        return read("imagefolder", data_dir=str(root), split=how["split"], cache_dir=str(tmp_path / "hf"))

    monkeypatch.setattr(datasets, "load_dataset", from_folder)
    splits = cache.load_splits(spec("who/cats-and-dogs", revision="abc"))
    assert asked[0] == ("who/cats-and-dogs", None, {"split": "train", "revision": "abc"})
    assert asked[1][2]["split"] == "validation"
    assert splits.classes == ("cat", "dog")
    found = {image.tobytes() for image in splits.train.images[splits.train.labels == 1]}
    assert found == {pixels(1, number).transpose(2, 0, 1).tobytes() for number in range(6)}
    assert np.bincount(splits.val.labels).tolist() == [6, 6]


def library(error):
    def load_dataset(*_, **__):
        raise error

    return types.SimpleNamespace(load_dataset=load_dataset)


@pytest.mark.parametrize(
    "error",
    [ConnectionError("Couldn't reach the Hugging Face Hub\nat all"), RuntimeError("DatasetNotFound"), OSError()],
)
def test_without_the_hub_the_way_out_is_told(monkeypatch, error):
    monkeypatch.setitem(sys.modules, "datasets", library(error))
    with pytest.raises(SklabError) as caught:
        load(spec("who/what"))
    told = str(caught.value)
    assert told.startswith(f"who/what (train): not loaded ({type(error).__name__}: {str(error).partition(chr(10))[0]})")
    assert "{name: parquet, root: <folder>}" in told
    assert "\n" not in told


def test_without_the_library_the_remedy_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(SklabError, match=r"pip install 'sklab\[hub\]'"):
        load(spec("who/what"))


def test_without_pyarrow_the_remedy_is_told(monkeypatch, tmp_path):
    from sklab.data.sets import parquet

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "train.parquet").write_bytes(b"")
    with pytest.raises(SklabError, match=r"pip install 'sklab\[parquet\]'"):
        parquet.load(parquet.Spec(root=str(tmp_path), num_classes=2))


def test_a_part_of_a_split_is_refused():
    with pytest.raises(ValueError, match="should match pattern"):
        spec("who/what", train="train[:10%]")
