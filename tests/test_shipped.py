"""Every experiment and sweep that ships loads, on both experiments, and says at its head what it is for."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sklab.cli import main
from sklab.models.cost import cost
from sklab.sweep.design import resolve, run_spec
from sklab.sweep.load import load_experiment, load_sweep

ROOT = Path(__file__).parents[1]
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))
SWEEPS = sorted((ROOT / "sweeps").glob("*.yaml"))
CELLS = {"kernels": 11, "dilation_groups": 5, "reduction": 12, "paths": 4, "search": 1}
IMAGENET = ROOT / "experiments" / "sknet50_imagenet.yaml"


def head(file: Path) -> str:
    """The comment lines before the first key."""
    return re.match(r"(#[^\n]*\n)*", file.read_text(encoding="utf-8"))[0]  # type: ignore[index]


def test_the_sweeps_of_the_paper_are_there() -> None:
    assert {file.stem for file in SWEEPS} >= set(CELLS)
    assert {file.stem for file in EXPERIMENTS} >= {"quickstart", "sknet50_imagenet"}


@pytest.mark.parametrize("file", EXPERIMENTS, ids=lambda file: file.stem)
def test_an_experiment_loads_and_tells_its_price(file: Path) -> None:
    resolve(load_experiment(file)[1])
    for word in ("command:", "hardware:", "time:", "expected score:"):
        assert word in head(file)
    assert f"experiments/{file.name}" in head(file)


@pytest.mark.parametrize("file", SWEEPS, ids=lambda file: file.stem)
@pytest.mark.parametrize("experiment", [None, *EXPERIMENTS], ids=lambda file: file.stem if file else "its own")
def test_a_sweep_loads_on_every_experiment(file: Path, experiment: Path | None) -> None:
    sweep = load_sweep(file, experiment=experiment)
    assert sweep.study == (file.stem if experiment is None else f"{file.stem}-{experiment.stem}")
    assert len(sweep.cells) == CELLS.get(file.stem, len(sweep.cells))
    assert sweep.invalid == ()
    assert len(sweep.seeds) >= 3


@pytest.mark.parametrize("file", SWEEPS, ids=lambda file: file.stem)
@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda file: file.stem)
def test_a_sweep_is_planned_on_every_experiment(file: Path, experiment: Path, tmp_path, capsys) -> None:
    arguments = ["plan", str(file), "--experiment", str(experiment), "--results", str(tmp_path), "--json"]
    assert main(arguments) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["missing"] == (len(plan["cells"]) + plan["asked"]) * len(plan["seeds"])
    assert all(cell["params"] > 0 and cell["macs"] > 0 for cell in plan["cells"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("file", SWEEPS, ids=lambda file: file.stem)
def test_a_sweep_states_its_hypothesis(file: Path) -> None:
    assert head(file).startswith("# Hypothesis: ")
    assert load_sweep(file).question.endswith("?")


@pytest.mark.parametrize("name", ["kernels", "dilation_groups"])
def test_the_cells_are_the_networks_of_the_paper(name: str) -> None:
    """Counted parameters agree with the printed ones to 0.15 million, what the paper's own rounding leaves open."""
    sweep = load_sweep(ROOT / "sweeps" / f"{name}.yaml", experiment=IMAGENET)
    assert sweep.published is not None
    for cell in sweep.cells:
        if cell.name in sweep.published.rows:
            network = run_spec(sweep, cell, 0).experiment.model
            assert cost(network, 224).params / 1e6 == pytest.approx(sweep.published.rows[cell.name].params, abs=0.15)


def test_the_imagenet_recipe_is_the_papers() -> None:
    experiment = resolve(load_experiment(IMAGENET)[1])
    train = experiment.train
    assert (train.epochs, train.batch_size, train.lr, train.momentum, train.weight_decay) == (100, 256, 0.1, 0.9, 1e-4)
    assert (train.schedule, train.step_every, train.step_factor, train.label_smoothing) == ("step", 30, 0.1, 0.1)
    assert (train.nesterov, train.warmup_epochs, train.augment.flip) == (False, 0, True)
    assert train.augment.random_resized_crop is not None
    assert (experiment.data.image_size, experiment.data.num_classes) == (224, 1000)
