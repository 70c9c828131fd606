"""A relative path in a file starts at the file's folder, on the command line at the current one; a resolved sweep says
the same wherever it is read, and no path is in a key."""

from pathlib import Path

import pytest
import yaml
from pictures import folder

from sklab.errors import FaultyInputError
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import run_spec
from sklab.sweep.design.toy import toy
from sklab.sweep.files.load import load_single, load_sweep

EXPERIMENT = """\
data: {name: image_folder, root: ../photos, num_classes: 2, image_size: 32, resize: 32}
model: {base: sknet_small, in_channels: 3, num_classes: 2, init: start.pt}
train: {epochs: 1, batch_size: 4, lr: 0.05}
"""
SWEEP = """\
experiment: ../experiments/birds.yaml
design: list
seeds: 1
baseline: plain
cells:
  - {name: plain}
  - {name: other start, set: {model.init: other.pt}}
"""
FACTORS = """\
experiment: ../experiments/birds.yaml
design: ofat
seeds: 1
baseline: {start: a.pt}
factors:
  start: {path: model.init, levels: [a.pt, b.pt]}
"""


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """A project with an experiment and sweeps; the current folder is another one."""
    folder(tmp_path / "photos", train=4, val=2)
    for name in ("experiments", "sweeps", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "experiments" / "birds.yaml").write_text(EXPERIMENT)
    (tmp_path / "experiments" / "start.pt").write_bytes(b"start")
    for name in ("other", "a", "b"):
        (tmp_path / "sweeps" / f"{name}.pt").write_bytes(name.encode())
    (tmp_path / "sweeps" / "birds.yaml").write_text(SWEEP)
    (tmp_path / "sweeps" / "factors.yaml").write_text(FACTORS)
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path


def load(name="birds", **options):
    return load_sweep(Path("..") / "sweeps" / f"{name}.yaml", **options)


def experiments(sweep):
    return {cell.name: run_spec(sweep, cell, 0).experiment for cell in sweep.cells}


def test_paths_start_at_the_folder_of_the_file_that_holds_them(files):
    made = experiments(load())
    assert {experiment.data.root for experiment in made.values()} == {str(files / "photos")}
    assert made["plain"].model.init.file == str(files / "experiments" / "start.pt")
    assert made["other start"].model.init.file == str(files / "sweeps" / "other.pt")
    levels = load("factors").factors["start"].levels
    assert {name: level["file"] for name, level in levels.items()} == {
        "a.pt": str(files / "sweeps" / "a.pt"),
        "b.pt": str(files / "sweeps" / "b.pt"),
    }


def test_paths_on_the_command_line_start_at_the_current_folder(files):
    folder(files / "elsewhere" / "mine")
    (files / "elsewhere" / "start.pt").write_bytes(b"typed")
    single = load_single(Path("../experiments/birds.yaml"), overrides={"data.root": "mine", "model.init": "start.pt"})
    made = experiments(single)["birds"]
    assert made.data.root == str(files / "elsewhere" / "mine")
    assert made.model.init.file == str(files / "elsewhere" / "start.pt")


def test_a_resolved_sweep_means_the_same_in_its_own_folder(files, monkeypatch):
    study = StudyFolder(files / "results" / "birds")
    study.write_sweep(load())
    monkeypatch.chdir(study.path)
    assert {experiment.data.root for experiment in experiments(study.read_sweep()).values()} == {str(files / "photos")}


def test_no_key_tells_where_the_project_lies(files, monkeypatch):
    before, small = load(), toy(load())
    moved = files.parent / f"{files.name}-moved"
    files.rename(moved)
    monkeypatch.chdir(moved)
    after = load_sweep(Path("sweeps/birds.yaml"))
    assert [cell.runs for cell in after.cells] == [cell.runs for cell in before.cells]
    assert [cell.runs for cell in toy(after).cells] == [cell.runs for cell in small.cells]


@pytest.mark.parametrize(
    ("key", "old"), [("root: ../photos", "root: ./photos"), ("init: start.pt", "init: ./found.pt")]
)
def test_a_path_that_holds_only_from_the_current_folder_is_one_clear_error(files, monkeypatch, key, old):
    (files / "found.pt").write_bytes(b"found")
    file = files / "experiments" / "birds.yaml"
    file.write_text(EXPERIMENT.replace(key, old))
    monkeypatch.chdir(files)
    with pytest.raises(FaultyInputError) as error:
        load_sweep(Path("sweeps/birds.yaml"))
    name = old.rpartition("/")[2]
    (fault,) = error.value.faults
    assert f"found at {files / name}, relative to the current folder" in str(fault)
    assert f"write ../{name}" in str(fault)
    file.write_text(EXPERIMENT.replace(key, f"{key.partition(':')[0]}: ../{name}"))
    load_sweep(Path("sweeps/birds.yaml"))


def test_a_cells_stray_path_is_told_at_its_place(files, monkeypatch):
    (files / "found.pt").write_bytes(b"found")
    (files / "sweeps" / "birds.yaml").write_text(SWEEP.replace("other.pt", "found.pt"))
    monkeypatch.chdir(files)
    with pytest.raises(FaultyInputError, match=r"birds.yaml:7: cells.1.set.model.init: .*write ../found.pt"):
        load_sweep(Path("sweeps/birds.yaml"))


def test_a_home_folder_and_an_absolute_path_stay_as_they_are(files, monkeypatch):
    monkeypatch.setenv("HOME", str(files))
    tree = yaml.safe_load(EXPERIMENT) | {"data": {"name": "image_folder", "root": "~/photos", "num_classes": 2}}
    tree["model"]["init"] = str(files / "found.pt")
    (files / "found.pt").write_bytes(b"found")
    file = files / "experiments" / "birds.yaml"
    file.write_text(yaml.safe_dump(tree))
    made = experiments(load_single(file))["birds"]
    assert (made.data.root, made.model.init.file) == ("~/photos", str(files / "found.pt"))
