"""`sklab init`: what it finds in a folder, what it chooses, and that its files plan and sweep as they are."""

import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import encoded, folder, pixels
from PIL import Image

from sklab.cli import main
from sklab.commands import init
from sklab.data.look.layout import layout_of
from sklab.data.look.opening import look
from sklab.models.zoo import build
from sklab.spec.names import study_with_ending
from sklab.spec.networks import network
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import run_spec
from sklab.sweep.files.load import load_sweep
from sklab.sweep.proposal.choose import Machine, Trained, choose, with_epochs_for
from sklab.sweep.proposal.write import experiment_text


def split(root):
    for name in ("train", "val"):
        shutil.copytree(root, root.parent / "new" / name)
    shutil.rmtree(root)
    (root.parent / "new").rename(root)
    shutil.rmtree(root / "val" / "dog")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A current folder with `birds`: 12 cats and 30 dogs of 66 x 70 pixels, without splits. Nothing is probed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(init, "_measured", lambda *_: 2000.0)
    for label, (name, count) in enumerate((("cat", 12), ("dog", 30))):
        (tmp_path / "birds" / name).mkdir(parents=True)
        for number in range(count):
            data = encoded(pixels(label, number, (66, 70)), "JPEG")
            (tmp_path / "birds" / name / f"{number}.JPG").write_bytes(data)
    return tmp_path


def told(capsys, *arguments):
    assert main(["init", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def found(root):
    return look(layout_of(root), lambda: None)


def test_a_folder_without_splits_becomes_a_sweep_that_loads(project, capsys):
    assert main(["init", "birds"]) == 0
    text = capsys.readouterr().out
    assert "42 images of 2 classes" in text
    assert "dog 30, cat 12" in text
    assert "sklab sweep sweeps/birds.yaml" in text
    assert "time of the sweep here: about 33m 20s" in text
    sweep = load_sweep(Path("sweeps/birds.yaml"))
    data = run_spec(sweep, sweep.cells[0], 0).experiment.data
    assert (data.root, data.num_classes, data.image_size, data.resize) == (str(project / "birds"), 2, 64, 73)
    assert (data.train, data.folds, data.copies) == (".", 5, "together")
    assert [cell.name for cell in sweep.cells] == ["K3", "K5", "K3+K5", "K3+K5 SK"]
    assert (sweep.baseline, len(sweep.questions), sweep.metric.name) == ("K3", 3, "val_balanced_error")
    assert "root: ../birds" in Path("experiments/birds.yaml").read_text().replace('"', "")
    assert main(["plan", "sweeps/birds.yaml"]) == 0
    assert "data: image_folder: 2 classes, 64 x 64 pixels" in capsys.readouterr().out


def test_files_are_replaced_only_by_force_and_may_lie_elsewhere(project, capsys):
    Path("sweeps").mkdir()
    Path("sweeps/birds.yaml").write_text("mine")
    assert main(["init", "birds"]) == 2
    assert "sweeps/birds.yaml exists and is not replaced; --force" in capsys.readouterr().err
    assert not Path("experiments").exists()
    assert told(capsys, "birds", "--to", "new")["sweep"] == "new/sweeps/birds.yaml"
    assert main(["init", "birds", "--force"]) == 0
    for file in ("sweeps/birds.yaml", "new/sweeps/birds.yaml"):
        assert len(load_sweep(Path(file)).cells) == 4


def test_faults_are_told_and_what_can_be_mended_by_a_setting_is(project, capsys):
    cats = project / "birds" / "cat"
    (cats / "torn.jpg").write_bytes((cats / "1.JPG").read_bytes()[:-200])
    (cats / "no.jpg").write_bytes(b"no image")
    shutil.copy(cats / "1.JPG", project / "birds" / "dog" / "again.jpg")
    (project / "birds" / "notes.txt").write_text("x")
    answer = told(capsys, "birds")
    assert {Path(file).name for file in answer["unreadable"]} == {"torn.jpg", "no.jpg"}
    assert answer["chosen"]["data"]["skip_corrupt"] is True
    text = "\n".join(answer["warnings"])
    assert "2 files can't be read" in text
    assert "1 image of equal content in several classes: cat/1.JPG = dog/again.jpg" in text
    assert "not read: 1 .txt" in text


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_splits_of_all_names_are_taken_as_they_are(project, capsys, val):
    folder(project / "split", train=8, val=4)
    (project / "split" / "val").rename(project / "split" / "moved")
    (project / "split" / "moved").rename(project / "split" / val)
    shutil.copytree(project / "split" / val, project / "split" / "test")
    answer = told(capsys, "split")
    data = answer["chosen"]["data"]
    assert (data.get("val", "val"), data["test"], "folds" in data) == (val, "test", False)
    assert any("8 images of equal content in several splits" in line for line in answer["warnings"])
    assert answer["chosen"]["metric"] == "val_error"
    load_sweep(Path(answer["sweep"]))


def test_a_test_split_alone_leaves_a_part_of_training_for_validation(project, capsys):
    folder(project / "split", train=8, val=4)
    (project / "split" / "val").rename(project / "split" / "test")
    data = told(capsys, "split")["chosen"]["data"]
    assert (data["test"], data["folds"], "train" in data) == ("test", 5, False)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: shutil.rmtree(root), "birds: no such folder; name a folder with a folder of images"),
        (lambda root: shutil.rmtree(root / "dog"), "one class: cat; a network learns to tell two classes or more"),
        (
            lambda root: [file.unlink() for file in (root / "dog").iterdir()],
            r"no images in the folders of 1 classes: dog",
        ),
        (lambda root: [file.unlink() for file in root.rglob("*.JPG")], "birds: no images; allowed: .avif"),
        (lambda root: (shutil.rmtree(root), root.write_bytes(b"x")), "birds: this is a file; name a folder"),
        (lambda root: (shutil.rmtree(root), root.mkdir(), (root / "a.zip").write_bytes(b"")), "an archive; unpack it"),
        (
            lambda root: [file.rename(root / f"{file.parent.name}{file.name}") for file in root.rglob("*.JPG")],
            "42 images lie here without a class; move those of each class into a folder of its name",
        ),
        (
            lambda root: [shutil.move(root / name, root / "inner" / name) for name in ("cat", "dog")],
            "no images in class folders, but deeper; name the folder that holds the classes, such as birds/inner",
        ),
        (
            split,
            "only in one of them: dog",
        ),
    ],
)
def test_a_folder_that_can_not_be_taken_is_one_error_with_its_remedy(project, capsys, spoil, message):
    spoil(project / "birds")
    assert main(["init", "birds"]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert re.search(message, error), error
    assert not Path("experiments").exists()


def test_less_time_means_a_smaller_sweep_and_its_reason_is_told(project):
    held = found(project / "birds")
    machine = Machine(slots=1, gpu=False, read=0.002)

    def chosen(budget):
        return choose(held, "../birds", machine, budget, lambda model, size: 10**6 * size)

    prices = [chosen(budget).seconds for budget in (1e9, 4000, 1500, 1)]
    assert prices == sorted(prices, reverse=True)
    assert chosen(1).epochs < chosen(1e9).epochs
    assert "for time" in chosen(1).why["train.epochs"]
    assert with_epochs_for(chosen(1e9), 1e12) == chosen(1e9)
    twice = with_epochs_for(chosen(1), 0.1)
    assert not any(character.isdigit() for character in twice.why["train.epochs"])  # not the first trim's number


def test_small_images_of_one_size_stay_in_memory(tmp_path):
    root = folder(tmp_path / "tiny", train=8, val=4)
    choice = choose(found(root), str(root), Machine(2, gpu=False, read=0.0), 1e9, lambda *_: 1)
    assert (choice.data["in_memory"], choice.data["image_size"], choice.data["resize"]) == (True, 32, 32)
    assert "random_resized_crop" not in choice.train["augment"]


def test_photographs_that_lie_on_their_side_are_turned(tmp_path):
    root = folder(tmp_path / "turned", train=4, val=2, size=(90, 60), suffix="jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.fromarray(np.zeros((60, 90, 3), np.uint8)).save(stream, "JPEG", exif=exif)
    (root / "train" / "cat" / "0.jpg").write_bytes(stream.getvalue())
    choice = choose(found(root), str(root), Machine(2, gpu=False, read=0.0), 1e9, lambda *_: 1)
    assert choice.data["exif"] == "apply"
    assert "exif: apply" in experiment_text(choice, "turned: photos", 4, "1 h", "turned")


@pytest.mark.parametrize("name", ["my photos (2024)", "été", ".hidden", "true", "2024"])
def test_a_folder_of_any_name_gives_files_that_load(project, capsys, name):
    (project / "birds").rename(project / name)
    answer = told(capsys, name)
    sweep = load_sweep(Path(answer["sweep"]))
    assert run_spec(sweep, sweep.cells[0], 0).experiment.data.root == str(project / name)
    assert study_with_ending(sweep.study, "") == sweep.study


def weights_of(name, file, **changes):
    torch.save(build(network(name, **{"in_channels": 3, "num_classes": 7, **changes})).state_dict(), file)
    return file


@pytest.mark.parametrize(
    ("base", "baseline", "started"),
    [("resnext_small", "K3", [True, True, True, True]), ("sknet_small", "SK", [True, True, True, False])],
)
def test_cells_start_from_weights_of_the_network_that_the_file_is_of(project, capsys, base, baseline, started):
    assert main(["init", "birds", "--weights", weights_of(base, "start.pt")]) == 0
    text = capsys.readouterr().out
    assert f"model.base: {base} (the network of these weights)" in text
    assert "hint:" not in text
    sweep = load_sweep(Path("sweeps/birds.yaml"))
    experiments = [run_spec(sweep, cell, 0).experiment for cell in sweep.cells]
    assert [bool(experiment.model.start) for experiment in experiments] == started
    assert (sweep.baseline, len(sweep.questions), sweep.invalid) == (baseline, 3, ())
    assert {(experiment.train.trunk_lr, experiment.train.epochs) for experiment in experiments} == {(0.1, 30)}
    assert 'init: "../start.pt"' in Path("experiments/birds.yaml").read_text()
    assert main(["plan", "sweeps/birds.yaml"]) == 0
    assert "start.pt (SHA-256 " in capsys.readouterr().out


@pytest.mark.parametrize(("side", "size"), [(192, 128), (80, 80)])
def test_images_stay_so_large_that_the_maps_of_a_trained_network_hold_its_kernels(tmp_path, side, size):
    root = folder(tmp_path / "big", train=4, val=2, size=(side, side))
    machine, trained = Machine(1, gpu=False, read=0.0), Trained("resnext50", "start.pt")
    choice = choose(found(root), str(root), machine, 1.0, lambda _, pixels: 10**6 * pixels, trained)
    assert choice.data["image_size"] == size
    assert choice.model == {"base": "resnext50", "init": "start.pt"}


def test_a_sweep_from_weights_runs_to_its_end(project):
    assert main(["init", "birds", "--weights", weights_of("resnext_small", "start.pt")]) == 0
    file = Path("experiments/birds.yaml")
    little = {
        r"  epochs: .*": "  epochs: 1",
        r"warmup_epochs: .*": "warmup_epochs: 0",
        "image_size: 64": "image_size: 32",
    }
    for old, new in little.items():
        file.write_text(re.sub(old, new, file.read_text()))
    assert main(["sweep", "sweeps/birds.yaml", "--seeds", "1", "--cpu", "--slots", "1", "--no-wandb"]) == 0
    records = StudyFolder(Path("results/birds")).records().values()
    assert {(record.status, bool(record.start)) for record in records} == {("complete", True)}


def test_few_images_without_weights_are_hinted_at_with_the_command(project, capsys):
    assert main(["init", "birds"]) == 0
    assert (
        "hint: class cat has 12 images, fewer than 100: trained weights are the better start" in capsys.readouterr().out
    )
    assert "#   sklab init birds --weights FILE --force" in Path("experiments/birds.yaml").read_text()


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: "none.pt", "--weights: none.pt can't be read: No such file or directory"),
        (
            lambda: weights_of("senet_small", "se.pt"),
            "--weights: found se.pt, of senet_small; allowed: weights of a Res",
        ),
        (lambda: weights_of("sknet_small", "wide.pt", width=48), "--weights: wide.pt is of none of the networks of"),
    ],
)
def test_weights_that_no_sweep_can_start_from_are_refused_before_anything_is_written(project, capsys, made, message):
    assert main(["init", "birds", "--weights", made()]) == 2
    assert message in capsys.readouterr().err
    assert not Path("experiments").exists()
