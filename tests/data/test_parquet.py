import json
import os
import pickle
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pictures import encoded, pixels
from pydantic import ValidationError

from sklab.data import cache
from sklab.data import check as preflight
from sklab.data.base import Encoded
from sklab.data.kept import read_inventory
from sklab.data.loaders import open_loaders
from sklab.data.sets.parquet import Spec, load
from sklab.errors import SklabError
from sklab.spec.data import changes
from sklab.spec.train import Augment, TrainSpec

CPU = torch.device("cpu")
PHOTO = Augment(random_resized_crop=(0.2, 1.0), flip=True)
RECIPE = TrainSpec(epochs=1, batch_size=4, lr=0.1, augment=PHOTO)
SMALL = TrainSpec(epochs=1, batch_size=2, lr=0.1)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SKLAB_CACHE", str(tmp_path / "cache"))


def table(labels, first=0, size=(32, 32), names=("cat", "dog"), image="image", kind="JPEG", mode="RGB"):
    """As Hugging Face writes it: a column of {bytes, path}, one of int64, and what they are in the schema."""
    pictures = [encoded(pixels(label, first + number, size), kind, mode) for number, label in enumerate(labels)]
    values = pa.array([{"bytes": data, "path": f"{n}.jpg"} for n, data in enumerate(pictures)])
    made = pa.table({image: values, "label": pa.array(list(labels), type=pa.int64()), "weight": [1.0] * len(labels)})
    features = {image: {"_type": "Image"}, "label": {"names": list(names), "_type": "ClassLabel"}}
    return made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


@pytest.fixture
def root(tmp_path):
    """Two shards of training images, in row groups of two, and one of validation images, in a folder of their own."""
    folder = tmp_path / "set" / "data"
    folder.mkdir(parents=True)
    for shard in range(2):
        made = table([0, 1, 0, 1, 1], first=10 * shard)
        pq.write_table(made, folder / f"train-0000{shard}-of-00002.parquet", row_group_size=2)
    pq.write_table(table([1, 0, 1], first=50), folder / "validation-00000-of-00001.parquet")
    return tmp_path / "set"


def spec(folder, **settings):
    return Spec(**{"root": str(folder), "num_classes": 2, "image_size": 32, "resize": 40, **settings})


def one(root, made, split="train", suffix="parquet"):
    """The only file of a split."""
    for old in (root / "data").glob(f"{split}*"):
        old.unlink()
    pq.write_table(made, root / "data" / f"{split}.{suffix}")


def test_what_is_found_and_in_which_order(root):
    splits = load(spec(root))
    assert splits.classes == ("cat", "dog")
    assert splits.train.labels.tolist() == [0, 1, 0, 1, 1] * 2
    assert splits.val.labels.tolist() == [1, 0, 1]
    assert (len(splits.train.files), len(splits.val.files)) == (10, 3)
    assert splits.train.files[7].data == encoded(pixels(0, 12), "JPEG")
    assert splits.train.files[7].name == f"{root}/data/train-00001-of-00002.parquet, image 2"


def test_worker_processes_get_the_names_of_files_not_their_content(root):
    files = load(spec(root)).train.files
    copy = pickle.dumps(files)
    assert len(copy) < 1000
    assert pickle.loads(copy)[9] == files[9]


def test_batches(root):
    loaders = open_loaders(spec(root), RECIPE, 0, CPU)
    images, labels = map(torch.cat, zip(*loaders.train, strict=True))
    assert (images.shape, images.dtype) == ((8, 3, 32, 32), torch.float32)
    assert torch.equal(images.mean((1, 2, 3)) > -1.0, labels == 1)
    assert torch.cat([labels for _, labels in loaders.val]).tolist() == [1, 0, 1]


def test_small_images_become_one_array(root):
    one(root, table([0, 1, 1], kind="PNG", mode="L"))
    one(root, table([0, 1], kind="PNG"), "val")
    splits = cache.load_splits(spec(root, in_memory=True, resize=32))
    assert splits.train.images.shape == (3, 3, 32, 32)
    assert np.array_equal(splits.val.images[1], pixels(1, 1).transpose(2, 0, 1))
    assert splits.classes == ("cat", "dog")


def test_a_copy_is_made_once_and_anew_when_the_file_changes(root, tmp_path):
    copies = tmp_path / "cache"
    load(spec(root))
    times = {file: file.stat().st_mtime_ns for file in copies.iterdir()}
    assert len(times) == 3
    load(spec(root))
    assert {file: file.stat().st_mtime_ns for file in copies.iterdir()} == times
    one(root, table([1, 1, 1, 1]), "val")
    assert load(spec(root)).val.labels.tolist() == [1, 1, 1, 1]


def test_a_process_of_the_same_number_elsewhere_that_copies_the_same_file_tears_nothing(root, tmp_path, monkeypatch):
    """Two containers that share a cache: each starts to count its processes at 1."""
    opened, copies = pa.ipc.new_file, tmp_path / "cache"
    monkeypatch.setattr(os, "getpid", lambda: 1)

    def overtaken(target, schema):
        stream = opened(target, schema)
        monkeypatch.setattr(pa.ipc, "new_file", opened)
        load(spec(root))
        return stream

    monkeypatch.setattr(pa.ipc, "new_file", overtaken)
    labels = load(spec(root)).train.labels.tolist()
    assert {file.suffix for file in copies.iterdir()} == {".arrow"}
    assert load(spec(root)).train.labels.tolist() == labels


@pytest.mark.parametrize("opened", [lambda s, schema: pa.ipc.new_file(s, schema), pa.ipc.new_stream])
def test_arrow_files_are_used_where_they_lie(root, tmp_path, opened):
    folder = root / "arrow"
    folder.mkdir()
    for split, labels in (("train", [1, 0, 1]), ("val", [0, 1])):
        made = table(labels)
        with opened(str(folder / f"{split}.arrow"), made.schema) as stream:
            stream.write_table(made, max_chunksize=2)
    splits = load(spec(root, train="arrow/train*", val="arrow/val*"))
    assert splits.train.labels.tolist() == [1, 0, 1]
    assert splits.train.files[2] == Encoded(f"{folder}/train.arrow, image 2", encoded(pixels(1, 2), "JPEG"))
    assert not (tmp_path / "cache").exists()


def test_raw_bytes_small_integers_and_no_names_of_classes(root):
    for split in ("train", "val"):
        data = [encoded(pixels(label, 0)) for label in (0, 1)]
        made = pa.table({"png": data, "class": pa.array([0, 1], type=pa.uint8())})
        one(root, made, split)
    splits = load(spec(root))
    assert splits.classes == ("0", "1")
    assert splits.train.files[1].data == data[1]


def test_images_that_lie_beside_the_table(root):
    (root / "data" / "a.png").write_bytes(encoded(pixels(1, 1)))
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    values = pa.array([{"bytes": None, "path": str(root / "data" / "a.png")}] * 2, type=kind)
    one(root, pa.table({"image": values, "label": [0, 1]}))
    assert load(spec(root)).train.files[1] == str(root / "data" / "a.png")
    values = pa.array([{"bytes": None, "path": "a.png"}] * 2, type=kind)
    one(root, pa.table({"image": values, "label": [0, 1]}))
    assert load(spec(root)).train.files[1] == str(root / "data" / "a.png")


def test_of_several_columns_the_usual_or_the_named_one_is_meant(root):
    for split in ("train", "val"):
        made = table([0, 1]).append_column("mask", pa.array([b"a", b"b"])).append_column("coarse", pa.array([1, 0]))
        one(root, made, split)
    assert load(spec(root)).val.labels.tolist() == [0, 1]
    named = load(spec(root, image_column="mask", label_column="coarse")).val
    assert named.labels.tolist() == [1, 0]
    assert named.files[0].data == b"a"


def named(names, kind=None, column="label", **others):
    """A table whose classes are strings."""
    data = [encoded(pixels(number % 3, number)) for number in range(len(names))]
    return pa.table({"image": data, column: pa.array(names, kind or pa.string()), **others})


KINDS = [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("in_memory", [True, False])
def test_names_of_classes_in_place_of_numbers_are_numbered_in_their_order(root, kind, in_memory):
    one(root, named(["wren", "10", "heron", "9", "wren"], kind))
    one(root, named(["9", "wren"], kind), "val")
    splits = cache.load_splits(spec(root, num_classes=4, in_memory=in_memory, resize=32))
    assert splits.classes == ("10", "9", "heron", "wren")
    assert splits.train.labels.tolist() == [3, 0, 2, 1, 3]
    assert splits.val.labels.tolist() == [1, 3]


def test_the_numbers_are_the_same_in_every_file(root):
    for shard, names in enumerate((["wren", "heron"], ["finch", "wren"])):
        made = named(names, pa.dictionary(pa.int8(), pa.string()))
        pq.write_table(made, root / "data" / f"train-0000{shard}-of-00002.parquet")
    one(root, named(["wren", "finch"]), "val")
    splits = load(spec(root, num_classes=3))
    assert (splits.train.labels.tolist(), splits.val.labels.tolist()) == ([2, 1, 0, 2], [2, 0])


def test_a_column_of_numbers_is_meant_before_one_of_names(root):
    one(root, named(["wren", "heron"], id=pa.array([0, 1])))
    one(root, named(["heron", "wren"], id=pa.array([1, 0])), "val")
    assert load(spec(root)).val.labels.tolist() == [1, 0]
    chosen = load(spec(root, label_column="label"))
    assert (chosen.classes, chosen.val.labels.tolist()) == (("heron", "wren"), [0, 1])


def test_strings_of_another_name_have_to_be_named(root):
    for split in ("train", "val"):
        one(root, named(["wren", "heron"], column="bird"), split)
    with pytest.raises(SklabError, match=r"data\.label_column; columns of class .*: none, of class names: bird; all"):
        load(spec(root))
    assert load(spec(root, label_column="bird")).classes == ("heron", "wren")


@pytest.mark.parametrize(
    ("spoil", "settings", "message"),
    [
        (lambda r: None, {"root": "/no/such"}, r"/no/such: no such folder \(data\.root = '/no/such'\)"),
        (lambda r: None, {"val": "test*"}, r"no \.parquet or \.arrow file fits data\.val = 'test\*'"),
        (lambda r: None, {"val": "/etc/*"}, r"data\.val = '/etc/\*': .*allowed: a pattern below data\.root"),
        (lambda r: None, {"num_classes": 3}, r"\(train\): label has 2 classes; data\.num_classes = 3"),
        (
            lambda r: None,
            {"label_column": "image"},
            r"label_column = 'image'; columns of class numbers: label, of class names: none; all columns",
        ),
        (lambda r: one(r, named(["a", "b", "c"])), {}, r"\(train\): label has 3 classes; data\.num_classes = 2"),
        (
            lambda r: [one(r, named(["a", "b"])), one(r, named(["a", "wolf", "cub"]), "val")],
            {},
            r"\(val\): label names classes that no training image has: cub, wolf",
        ),
        (
            lambda r: [one(r, named(["a", "b"])), one(r, table([0, 1]), "val")],
            {},
            r"\(val\): label holds class numbers, but label of the training files class names",
        ),
        (lambda r: one(r, named(["a", None])), {}, r"1 images have no label"),
        (lambda r: one(r, named([1.5, 2.5], pa.float64())), {}, r"class names: none; all columns: .*label \(double\)"),
        (lambda r: one(r, table([0, 2])), {}, r"\(train\): label has 3 classes; data\.num_classes = 2"),
        (
            lambda r: one(r, table([0, 0])),
            {},
            r"label leaves 1 of data\.num_classes = 2 classes without .*: 1$",
        ),
        (lambda r: one(r, table([-1, -1]), "val"), {}, r"\(val\): label = -1; images without a class"),
        (lambda r: one(r, table([0]).slice(1)), {}, r"\(train\): no images"),
        (lambda r: one(r, pa.table({"x": [0.5]})), {}, r"by data\.image_column; columns of encoded images: none"),
        (lambda r: one(r, pa.table({"a": [b""], "i": [0], "j": [0]})), {}, r"data\.label_column; .*numbers: i, j,"),
        (lambda r: one(r, pa.table({"a": [b""], "label": pa.array([None], pa.int64())})), {}, "1 images have no label"),
        (lambda r: (r / "data" / "val.parquet").write_text("no"), {"val": "**/val.p*"}, "not a readable Parquet file"),
        (lambda r: os.mkfifo(r / "data" / "val.arrow"), {"val": "**/val.a*"}, "val.arrow: no regular file"),
        (lambda r: os.mkfifo(r / "data" / "val.parquet"), {"val": "**/val.p*"}, "val.parquet: no regular file"),
        (lambda r: (r / "data" / "val.arrow").write_text("no"), {"val": "**/val.a*"}, "not a readable Arrow file"),
    ],
)
def test_what_is_wrong_with_the_files_is_said(root, spoil, settings, message):
    spoil(root)
    with pytest.raises(SklabError, match=message):
        load(spec(root, **settings))


def test_a_corrupt_image_is_named_by_file_and_number_or_left_out(root):
    torn = table([0, 1, 1]).to_pylist()
    torn[1]["image"]["bytes"] = b"no image"
    one(root, pa.Table.from_pylist(torn))
    with pytest.raises(SklabError, match=r"/train\.parquet, image 1: not a readable image"):
        preflight.check(spec(root), [SMALL])
    splits = cache.load_splits(spec(root, skip_corrupt=True))
    assert splits.train.labels.tolist() == [0, 1]
    assert [name.rpartition(", ")[2] for name in splits.skipped] == ["image 1"]


def test_where_the_files_lie_is_no_setting_of_the_set():
    assert Spec.places == {"root"}
    with pytest.raises(ValidationError, match="resize = 31 is less"):
        spec("x", resize=31)


def test_the_fingerprint_is_of_rows_whatever_files_hold_them(root, tmp_path):
    before = read_inventory(spec(root))
    shutil.copytree(root, tmp_path / "copy")
    assert read_inventory(spec(tmp_path / "copy")) == before
    both = pa.concat_tables([table([0, 1, 0, 1, 1], first=10 * shard) for shard in range(2)])
    one(tmp_path / "copy", both)
    assert read_inventory(spec(tmp_path / "copy")) == before, "one file in place of two"
    one(tmp_path / "copy", both.slice(1))
    now = read_inventory(spec(tmp_path / "copy"))
    assert changes(before, now) == ("1 image fewer in train/cat",)
    one(tmp_path / "copy", pa.concat_tables([both.slice(5), both.slice(0, 5)]))
    assert not read_inventory(spec(tmp_path / "copy")).fingerprint.same_as(before.fingerprint), "another order"


def test_sizes_are_told_without_reading_images(root):
    files = load(spec(root)).train.files
    assert files.sizes().tolist() == [len(files[place].data) for place in range(len(files))]


def test_the_fingerprint_sees_images_that_lie_beside(root):
    for number in range(3):
        (root / "data" / f"{number}.jpg").write_bytes(encoded(pixels(0, number), "JPEG"))
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    values = pa.array([{"bytes": None, "path": f"{number}.jpg"} for number in range(3)], type=kind)
    made = pa.table({"image": values, "label": [0, 1, 0]})
    for split in ("train", "validation"):
        for old in (root / "data").glob(f"{split}*"):
            old.unlink()
        with pa.ipc.new_file(str(root / "data" / f"{split}.arrow"), made.schema) as file:
            file.write_table(made)
    before = read_inventory(spec(root))
    beside = root / "data" / "1.jpg"
    beside.write_bytes(beside.read_bytes()[::-1])
    assert not read_inventory(spec(root)).fingerprint.same_as(before.fingerprint)
