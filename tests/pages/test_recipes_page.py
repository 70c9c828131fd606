"""docs/recipes.md against the program: every block loads. The settings stand in docs/reference/experiment.md."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from peers import with_peers

from sklab.spec.train import TrainSpec
from sklab.store.study_folder import StudyFolder
from sklab.sweep.files.load import load_sweep
from sklab.sweep.files.yamltree import parse

PAGE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
YAML = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
BLOCKS = [block for block in YAML if block.startswith("train:")]
(SWEEP,) = [block for block in YAML if block not in BLOCKS]


@pytest.mark.parametrize("block", BLOCKS)
def test_every_recipe_on_the_page_is_one(block):
    given = parse(block, "recipes.md", ()).tree
    assert list(given) == ["train"]
    recipe = TrainSpec.model_validate(given["train"])
    assert recipe.model_dump(exclude_unset=True, mode="json").keys() == given["train"].keys()
    assert yaml.safe_load(block).keys() == given.keys()


@pytest.mark.parametrize(
    ("block", "experiment"),
    [(0, "sknet50_imagenet"), (2, "shufflenet_imagenet"), (3, "sknet29_cifar10"), (3, "sknet29_cifar100")],
)
def test_the_recipes_that_ship_stand_on_the_page_as_they_are(block, experiment):
    file = Path(__file__).parents[2] / "experiments" / f"{experiment}.yaml"
    assert f"`experiments/{file.name}`" in PAGE
    assert parse(BLOCKS[block], "", ()).tree["train"] == parse(file.read_text(), "", ()).tree["train"]


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """The file of the sweep on the page, beside the experiments."""
    root = Path(__file__).parents[2]
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "experiments").symlink_to(root / "experiments")
    monkeypatch.chdir(tmp_path)
    file = Path("sweeps/recipe.yaml")
    file.write_text(SWEEP, encoding="utf-8")
    return file


def test_the_sweep_on_the_page_varies_one_part_at_a_time(sweep):
    read = load_sweep(sweep)
    assert not read.invalid
    assert len(read.cells) == 6


@pytest.mark.slow
def test_it_is_trained_by_the_recipe_of_today(sweep):
    """From the command to the table, but for the sizes."""
    recipe = TrainSpec.model_validate(yaml.safe_load(BLOCKS[-1])["train"])
    small = {"data.train_size": 64, "data.val_size": 32, "train.epochs": 1, "train.batch_size": 16}
    named = ("optimizer", "lr", "weight_decay", "decay_norm_and_bias", "label_smoothing", "mixup")
    settings = {**small, **{f"train.{name}": getattr(recipe, name) for name in named}, "train.warmup_epochs": 0.5}
    changes = [word for path, value in settings.items() for word in ("--set", f"{path}={json.dumps(value)}")]
    command = [sys.executable, "-m", "sklab.cli", "sweep", str(sweep), "--seeds", "1", "--no-wandb", *changes]
    answer = subprocess.run(command, env=with_peers(), capture_output=True, text=True, timeout=600, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "6 of 6 runs complete" in answer.stdout
    (study,) = Path("results").glob("recipe*")
    keys = [folder.name for folder in (study / "runs").iterdir()]
    records = StudyFolder(study).records(keys).values()
    asking = [record for record in records if record.spec.experiment.libraries]
    assert len(asking) == 3
    assert all("torchvision" in record.versions for record in asking)
    assert all("torchvision" not in record.versions for record in records if record not in asking)
    assert "torchvision 0." in (study / "report.md").read_text()
