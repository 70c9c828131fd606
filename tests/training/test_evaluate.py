"""A run's kept weights give its numbers again, and those of other image sizes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sklab.cli import main
from sklab.data.loaders import open_loaders
from sklab.data.sets.image_folder import Spec
from sklab.errors import SklabError
from sklab.models.zoo import build
from sklab.spec.networks import SETTINGS
from sklab.spec.run import RunSpec
from sklab.store.measured.metrics import read_epochs
from sklab.store.measured.scores import Evaluation
from sklab.store.records import Code, RunOrder
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import run_spec
from sklab.sweep.files.load import load_sweep
from sklab.training.evaluate import evaluate
from sklab.training.run import train

CPU = torch.device("cpu")


def trained(order: RunOrder, path: Path) -> RunFolder:
    folder = RunFolder(path)
    folder.write_order(order)
    train(order, folder, CPU)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> RunOrder:
    """A run on a folder of images that are no squares, with a batch in each epoch that fills no step."""
    random = np.random.Generator(np.random.PCG64(0))
    for split, count in (("train", 8), ("val", 5)):
        for name in ("grey", "noise"):
            (tmp_path / "photos" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (60, 80, 3)) // (2 if name == "grey" else 1)
                file = tmp_path / "photos" / split / name / f"{number}.png"
                Image.fromarray(pixels.astype(np.uint8)).save(file)
    model = {
        **SETTINGS["sknet_small"],
        "width": 8,
        "out_width": 8,
        "depths": [1, 1],
        "in_channels": 3,
        "num_classes": 2,
    }
    data = {"name": "image_folder", "root": str(tmp_path / "photos"), "num_classes": 2, "image_size": 32, "resize": 40}
    recipe = {"epochs": 2, "batch_size": 4, "lr": 0.1, "accumulate": 3}
    spec = RunSpec.model_validate({"experiment": {"data": data, "model": model, "train": recipe}, "seed": 0})
    return RunOrder(key=spec.key, study="photos", cell="cell", spec=spec, code=Code(version="0"))


def test_images_that_were_left_out_are_counted_in_the_record(photos, tmp_path):
    for file in ("train/grey/0.png", "val/noise/1.png", "val/noise/2.png"):
        (tmp_path / "photos" / file).write_bytes(b"no image")
    experiment = photos.spec.experiment
    data = experiment.data.model_copy(update={"skip_corrupt": True})
    recipe = experiment.train.model_copy(update={"epochs": 1})
    spec = photos.spec.model_copy(update={"experiment": experiment.model_copy(update={"data": data, "train": recipe})})
    record = trained(photos.model_copy(update={"spec": spec}), tmp_path / "run").read_record()
    assert record is not None
    assert record.skipped_images == 3


@pytest.mark.parametrize(
    "recipe",
    [{}, {"memory_format": "channels_last", "precision": "bf16", "ema_decay": 0.5}, {"accumulate": 2, "mixup": 0.2}],
)
def test_at_its_own_size_a_run_gives_its_last_numbers_again_to_the_last_bit(toy_order, tmp_path, recipe):
    folder = trained(toy_order(train=recipe), tmp_path / "run")
    torch.manual_seed(99)  # nothing of what went before counts
    evaluation = evaluate(folder, None, "cpu")
    last = folder.read_record().last  # type: ignore[union-attr]
    assert (evaluation.val_error, evaluation.val_loss) == (last["val_error"], last["val_loss"])
    assert (evaluation.image_size, evaluation.images) == (32, 32)
    assert evaluate(folder, 32, "cpu") == evaluation
    assert folder.read_evaluation(32) == evaluation


def test_equal_numbers_of_wrong_images_are_equal_errors(toy_order, tmp_path):
    order = toy_order()
    data = order.spec.experiment.data.model_copy(update={"val_size": 30})
    experiment = order.spec.experiment.model_copy(update={"data": data})
    spec = order.spec.model_copy(update={"experiment": experiment})
    folder = trained(order.model_copy(update={"spec": spec}), tmp_path / "run")
    shares = {100 * wrong / 30 for wrong in range(31)}
    assert {epoch["val_error"] for epoch in read_epochs(folder.metrics_file)} <= shares
    assert folder.read_record().last["val_error"] in shares  # type: ignore[union-attr]
    assert evaluate(folder, None, "cpu").val_error in shares


def test_at_another_size_images_are_resized_and_cut_in_proportion(photos, tmp_path):
    folder = trained(photos, tmp_path / "run")
    assert folder.read_record().epochs == 2  # type: ignore[union-attr]
    evaluation = evaluate(folder, 48, "cpu")
    assert evaluation.data == photos.spec.experiment.data.model_copy(update={"image_size": 48, "resize": 60})
    network = build(photos.spec.experiment.model).eval()
    network.load_state_dict(torch.load(folder.weights_file, weights_only=True))
    wider = open_loaders(evaluation.data, photos.spec.experiment.train, 0, CPU)
    with torch.no_grad():
        images, labels = (torch.cat(parts) for parts in zip(*wider.val, strict=True))
        assert images.shape == (10, 3, 48, 48)
        wrong = (network(images).argmax(1) != labels).double().mean()
    assert evaluation.val_error == pytest.approx(100 * float(wrong))
    assert {file.name for file in folder.path.glob("evaluation-*")} == {"evaluation-48.json"}
    last = folder.read_record().last  # type: ignore[union-attr]
    assert evaluate(folder, 32, "cpu").val_loss == last["val_loss"]


def of_data(order: RunOrder, data: dict[str, object], channels: int) -> RunOrder:
    experiment = order.spec.experiment.model_dump(mode="json")
    experiment |= {"data": data, "model": {**experiment["model"], "in_channels": channels}}
    experiment["train"]["vary"] = ["init", "split"]
    spec = RunSpec.model_validate({"experiment": experiment, "seed": 1})
    return order.model_copy(update={"key": spec.key, "spec": spec})


@pytest.mark.parametrize(
    ("data", "channels"),
    [({"name": "photo_patches", "train_size": 60, "val_size": 20}, 3), ({"name": "digits28"}, 1)],
    ids=["photo_patches", "digits28"],
)
def test_weights_trained_on_a_set_from_a_package_are_evaluated_on_its_split(data, channels, toy_order, tmp_path):
    order = of_data(toy_order(train={"epochs": 1}), data, channels)
    folder = trained(order, tmp_path / "run")
    record = folder.read_record()
    assert record is not None
    assert record.last is not None
    assert evaluate(folder, None, "cpu").val_loss == record.last["val_loss"]
    if channels == 3:
        larger = evaluate(folder, 64, "cpu")
        assert larger.data.image_size == 64
        assert larger.val_loss != record.last["val_loss"]
    else:
        with pytest.raises(SklabError, match="digits28: image size 64 is not possible; allowed: 28"):
            evaluate(folder, 64, "cpu")


def test_the_paper_sees_320_pixels_of_366():
    spec = Spec(root="/data/imagenet", num_classes=1000)
    assert (spec.at_size(320).image_size, spec.at_size(320).resize) == (320, 366)
    assert spec.at_size(224) is spec


def test_a_size_that_can_not_be_is_refused(toy_order, photos, tmp_path):
    digits = trained(toy_order(), tmp_path / "digits")
    with pytest.raises(SklabError, match=r"scaled_digits: image size 48 is not possible; allowed: 32"):
        evaluate(digits, 48, "cpu")
    with pytest.raises(SklabError, match=r"image_folder: image size 4 is not possible: Input should be greater"):
        photos.spec.experiment.data.at_size(4)
    assert not list(digits.path.glob("evaluation-*"))


def test_what_can_not_be_evaluated_is_told(toy_order, tmp_path):
    folder = trained(toy_order(), tmp_path / "run")
    other = trained(toy_order(model={"width": 16}), tmp_path / "other")
    folder.weights_file.replace(tmp_path / "weights.pt")
    with pytest.raises(SklabError, match=r"weights\.pt: no such file.*train it again"):
        evaluate(folder, None, "cpu")
    for wrong in (other.weights_file.read_bytes(), b"", b"torn", (tmp_path / "weights.pt").read_bytes()[:1000]):
        folder.weights_file.write_bytes(wrong)
        with pytest.raises(SklabError, match=r"weights\.pt: not the weights of this run"):
            evaluate(folder, None, "cpu")
    diverged = trained(toy_order(train={"lr": 1e30}), tmp_path / "diverged")
    with pytest.raises(SklabError, match=r"not complete \(diverged\)"):
        evaluate(diverged, None, "cpu")
    folder.record_file.unlink()
    with pytest.raises(SklabError, match=r"not complete \(has not ended\)"):
        evaluate(folder, None, "cpu")


@pytest.fixture
def study(toy_files, monkeypatch) -> StudyFolder:
    """The toy sweep, trained, as the current folder's `results/sweep`."""
    monkeypatch.setattr("sklab.launch.slots.find_gpus", list)
    monkeypatch.chdir(toy_files)
    sweep, study = load_sweep(Path("sweep.yaml")), StudyFolder(Path("results/sweep"))
    study.write_sweep(sweep)
    for cell in sweep.cells:
        for seed, key in cell.runs.items():
            spec = run_spec(sweep, cell, seed)
            order = RunOrder(key=key, study="sweep", cell=cell.name, spec=spec, code=Code(version="0"))
            trained(order, study.run(key).path)
    return study


def test_a_study_is_evaluated_run_by_run_and_again_from_what_is_there(study, monkeypatch, capsys):
    assert main(["evaluate", "sweep", "--size", "32"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        f"{name}, seed {seed}" for name in ("K3", "K3+K5 SK") for seed in (0, 1)
    ]
    for key, record in study.records().items():
        assert study.run(key).read_evaluation(32).val_error == record.last["val_error"]  # type: ignore[union-attr]
    key = next(iter(study.records()))
    study.run(key).evaluation_file(32).unlink()
    made: list[str] = []
    monkeypatch.setattr("sklab.training.evaluate.build", lambda model: made.append("network") or build(model))
    assert main(["evaluate", "results/sweep", "--json"]) == 0
    assert len(made) == 1, "only what is missing is made again"
    shown = capsys.readouterr()
    assert [each["image_size"] for each in json.loads(shown.out)] == [32] * 4
    assert "K3, seed 0: " in shown.err


def test_a_run_of_a_study_without_weights_is_named_and_the_others_go_on(study, capsys):
    key = next(iter(study.records()))
    study.run(key).weights_file.unlink()
    assert main(["evaluate", "sweep", "--size", "32"]) == 1
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 3
    assert re.fullmatch(rf"sklab: .*, seed .: .*{key}/weights\.pt: no such file; .* train it again\n", shown.err)


def test_a_size_that_no_run_of_a_study_can_have_is_told_once(study, capsys):
    assert main(["evaluate", "sweep", "--size", "320"]) == 2
    assert capsys.readouterr().err.count("image size 320 is not possible; allowed: 32") == 1
    for key in study.records():
        study.run(key).record_file.unlink()
    assert main(["evaluate", "sweep", "--size", "32"]) == 2
    assert "no run is complete;" in capsys.readouterr().err


def test_data_that_were_moved_are_found_where_the_last_order_says(photos, tmp_path):
    folder = trained(photos, tmp_path / "run")
    before = evaluate(folder, 48, "cpu")
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    order = photos.model_dump(mode="json")
    order["spec"]["experiment"]["data"]["root"] = str(tmp_path / "elsewhere")
    folder.write_order(RunOrder.model_validate(order))
    assert folder.read_order().spec.key == photos.key
    assert evaluate(folder, 48, "cpu").val_error == before.val_error


def test_the_command_prints_and_keeps_the_numbers(toy_order, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sklab.launch.slots.find_gpus", list)
    monkeypatch.chdir(tmp_path)
    order = toy_order()
    run = trained(order, StudyFolder(Path("results/toy")).run(order.key).path)
    assert main(["evaluate", order.key, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert Evaluation.model_validate_json(json.dumps(shown)) == run.read_evaluation(32)
    assert shown["val_error"] == run.read_record().last["val_error"]  # type: ignore[union-attr]
    assert main(["evaluate", f"toy/{order.key}", "--size", "32"]) == 0
    assert capsys.readouterr().out.startswith(
        f"{order.cell}, seed {order.spec.seed}: at 32x32, 32 images: val_error {shown['val_error']:.2f} %"
    )
    assert main(["evaluate", "nothing"]) == 2
    assert "found none under results" in capsys.readouterr().err
    assert main(["evaluate", str(run.path), "--size", "320"]) == 2
    assert "allowed: 32" in capsys.readouterr().err
