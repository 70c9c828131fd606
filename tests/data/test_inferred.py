"""What the files decide is read where an experiment leaves it out, and stated in what is resolved."""

import importlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import encoded, folder, pixels

from sklab.data.look.inferred import SAMPLE, inferred, resize_for, size_for
from sklab.errors import FaultyInputError
from sklab.spec.data import data_sets, data_spec
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import run_spec
from sklab.sweep.files.load import load_single, load_sweep

EXPERIMENT = """\
data: {{name: image_folder, root: photos{data}}}
model: {{base: sknet_small{model}}}
train: {{epochs: 1, batch_size: 4, lr: 0.05}}
"""
ALL = ", num_classes: 2, image_size: 48, resize: 55"


@pytest.fixture
def project(tmp_path):
    folder(tmp_path / "photos", train=4, val=2, size=(60, 50))
    return tmp_path


def load(project, data="", model="", **options):
    file = project / "birds.yaml"
    file.write_text(EXPERIMENT.format(data=data, model=model))
    return load_single(file, **options)


def key(sweep):
    return sweep.cells[0].runs[0]


def test_a_file_that_leaves_it_out_makes_the_run_of_one_that_states_it(project):
    left_out, stated = load(project), load(project, ALL, ", num_classes: 2, in_channels: 3")
    assert key(left_out) == key(stated)
    assert key(load(project, ", num_classes: 2, resize: 55")) == key(stated)
    spec = run_spec(left_out, left_out.cells[0], 0).experiment
    assert (spec.data.num_classes, spec.data.image_size, spec.model.num_classes) == (2, 48, 2)


def test_the_resolved_sweep_states_it(project):
    study = StudyFolder(project / "results")
    study.write_sweep(load(project))
    data, model = (study.read_sweep().experiment[section] for section in ("data", "model"))
    assert {key: data[key] for key in ("num_classes", "image_size", "resize")} == {
        "num_classes": 2,
        "image_size": 48,
        "resize": 55,
    }
    assert (model["num_classes"], model["in_channels"]) == (2, 3)


def test_a_level_that_is_a_whole_data_set_is_read_too(project):
    folder(project / "large", train=4, val=2, size=(100, 120))
    load(project)
    (project / "sweep.yaml").write_text(
        "experiment: birds.yaml\ndesign: ofat\nseeds: 1\nbaseline: {data: small}\nfactors:\n"
        "  data:\n    path: data\n    levels:\n      small: {name: image_folder, root: photos}\n"
        "      large: {name: image_folder, root: large}\n"
    )
    sweep = load_sweep(project / "sweep.yaml")
    sizes = {cell.name: run_spec(sweep, cell, 0).experiment.data.image_size for cell in sweep.cells}
    assert sizes == {"data=small": 48, "data=large": 96}


def test_what_is_stated_against_the_data_stays_and_is_refused_with_them(project):
    with pytest.raises(FaultyInputError, match=r"model.num_classes = 5 but the data set image_folder has 2"):
        load(project, "", ", num_classes: 5")
    assert load(project, ", num_classes: 7").experiment["data"]["num_classes"] == 7  # the check of the data refuses it


def test_data_that_are_not_here_must_be_described(project):
    (project / "photos").rename(project / "away")
    with pytest.raises(FaultyInputError, match=r"birds.yaml:1: data.num_classes: .*photos: no such folder.*allowed"):
        load(project)
    here = load(project, ", num_classes: 2")
    assert run_spec(here, here.cells[0], 0).experiment.data.image_size == 224


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=300))
def test_an_image_size_is_one_that_networks_take_and_no_larger_than_half_of_the_images(sides):
    size = size_for(sides)
    assert 32 <= size <= 224
    assert size % 16 == 0
    assert size == 32 or sum(side >= size for side in sides) * 2 >= len(sides)
    assert resize_for(size) >= size
    assert size_for(sides[::-1]) == size


def test_only_some_heads_are_read_and_an_image_that_is_none_is_left_out(tmp_path, monkeypatch):
    (root := folder(tmp_path / "many", train=0, val=1)).joinpath("train", "cat", "x.jpg").write_bytes(b"none")
    for number in range(2 * SAMPLE):
        (root / "train" / "dog" / f"{number}.png").write_bytes(encoded(pixels(0, number, (2, 2))))
    opened = []
    image = importlib.import_module("sklab.data.look.inferred").Image
    real = image.open
    monkeypatch.setattr(image, "open", lambda file, **kind: opened.append(file) or real(file, **kind))
    assert inferred({"name": "image_folder", "root": str(root), "num_classes": 2})["image_size"] == 32
    assert len(opened) == SAMPLE


@pytest.mark.parametrize("named", [True, False])
def test_parquet_files_say_their_classes(tmp_path, named):
    arrow, parquet = pytest.importorskip("pyarrow"), importlib.import_module("pyarrow.parquet")
    labels = ["a", "b", "c", "a"] if named else [0, 1, 2, 0]
    images = [{"bytes": encoded(pixels(0, number, (70, 66)))} for number in range(4)]
    table = arrow.table({"image": images, "label": labels})
    for split in ("train", "val"):
        parquet.write_table(table, tmp_path / f"{split}.parquet")
    found = inferred({"name": "parquet", "root": str(tmp_path)})
    assert found == {"num_classes": 3, "image_size": 64, "resize": 73}


@pytest.mark.parametrize("name", [name for name in data_sets() if name not in ("image_folder", "parquet", "hub")])
def test_the_other_sets_know_theirs(name):
    fields = data_spec(name).model_fields
    known = {key: fields[key].default for key in ("num_classes", "image_size") if not fields[key].is_required()}
    assert inferred({"name": name, **({"root": "nowhere"} if "root" in fields else {})}) == known
    assert set(known) == ({"image_size"} if name == "stand_in" else {"num_classes", "image_size"})
