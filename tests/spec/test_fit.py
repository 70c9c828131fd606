"""What can't be trained, and what is hardly meant, is known from the values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sklab.cli import main
from sklab.errors import FaultyInputError
from sklab.models.zoo import build
from sklab.spec.fit import doubtful, why_impossible
from sklab.spec.networks import SETTINGS, network
from sklab.spec.run import Experiment
from sklab.sweep.files.load import load_single, load_sweep

DIGITS = {"name": "scaled_digits", "train_size": 640, "val_size": 20}
CIFAR = {"name": "cifar10", "root": "/nowhere"}
FOLDER = {"name": "image_folder", "root": "/nowhere", "num_classes": 1000}
LARGE = [name for name in SETTINGS if "small" not in name]
RECIPE = {"epochs": 10, "batch_size": 64, "lr": 0.1}


def experiment(
    data: dict[str, Any] = DIGITS, base: str = "sknet_small", model: dict[str, Any] | None = None, **train: Any
) -> Experiment:
    classes = {"num_classes": data.get("num_classes", 10), "in_channels": 1 if data is DIGITS else 3}
    settings = {**SETTINGS[base], **classes, **(model or {})}
    return Experiment.model_validate({"data": data, "model": settings, "train": {**RECIPE, **train}})


def kernels(*sides: int, dilation: int = 1) -> dict[str, Any]:
    return {"branches": [{"kernel": side, "dilation": dilation, "groups": 1} for side in sides]}


@pytest.mark.parametrize("name", [name for name in SETTINGS if "101" not in name])
@pytest.mark.parametrize("side", [None, 37])
def test_the_sides_of_a_network_are_those_that_its_branches_read(name: str, side: int | None) -> None:
    spec, read = network(name), set[int]()
    size = side or spec.image_size
    with torch.device("meta"):
        model = build(spec).eval()
    for path, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1) and not path.startswith("stem"):
            module.register_forward_hook(lambda _, entering, __: read.add(entering[0].shape[-1]))
    with torch.no_grad():
        model(torch.empty(1, spec.in_channels, size, size, device="meta"))
    assert set(spec.sides(size)) == read
    assert spec.sides(size) == tuple(sorted(read, reverse=True))


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (experiment(batch_size=1000), "train.batch_size = 1000 but the train split has 640 images; allowed: 2 to 640"),
        (experiment(CIFAR, "sknet29", batch_size=50_001), "the train split has 50000 images"),
        (experiment(accumulate=11), "train.accumulate = 11 but an epoch has 10 batches"),
        (experiment(devices=32), "train.devices = 32 but the val split has 20 images"),
        (
            experiment(augment={"random_resized_crop": [0.1, 1.0]}),
            "is for image files; allowed here: pad_crop and flip",
        ),
        (
            experiment(
                {"name": "stand_in", "num_classes": 10, "channels": 4},
                model={"in_channels": 4},
                batch_size=4,
                augment={"policy": "randaugment"},
            ),
            "train.augment.policy = randaugment but the images have 4 channels; allowed: 1 or 3",
        ),
        (
            experiment(model=kernels(3, 99)),
            r"branch 2 \(99x99 G1\) sees 99x99 pixels, but the largest map .* 16x16",
        ),
        (experiment(model=kernels(33)), "branch 1 .33x33 G1. sees 33x33"),
        (experiment(model=kernels(3, dilation=16)), "sees 33x33 pixels"),
        (experiment(FOLDER, "mobilenetv2_sk", {"branches": [{"kernel": 225}]}), "the largest map .* has 112x112"),
    ],
)
def test_what_can_not_be_trained_is_told(made: Experiment, told: str) -> None:
    assert re.search(told, why_impossible(made))


@pytest.mark.parametrize(
    "made",
    [
        experiment(batch_size=640),
        experiment(accumulate=10),
        experiment(batch_size=80, devices=20),
        experiment(model=kernels(31)),
        experiment(FOLDER, "sknet50", batch_size=10**6, augment={"random_resized_crop": [0.1, 1.0]}),
        *(experiment({**FOLDER, "num_classes": SETTINGS[name].get("num_classes", 1000)}, name) for name in LARGE),
    ],
)  # fmt: skip
def test_what_can_be_trained_or_is_not_known_is_not_refused(made: Experiment) -> None:
    assert why_impossible(made) == ""


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (experiment(model=kernels(3, dilation=8)), "branch 1 (3x3 D8 G1) reaches beyond maps of 8x8"),
        (experiment(model={"depths": [1] * 6}), "branch 1 (3x3 G4) reaches beyond maps of 1x1"),
        (experiment(schedule="step", step_at=[5, 20]), "train.step_at = [5, 20] has steps that never come"),
        (experiment(schedule="step"), "train.step_every = 30: the rate never falls in train.epochs = 10"),
        (experiment(step_at=[5]), "train.step_at is not used by train.schedule = cosine"),
        (
            experiment(optimizer="adamw", lr=1e-3, nesterov=True),
            "train.nesterov = true is not used by train.optimizer = adamw",
        ),
        (
            experiment(optimizer="adamw", lr=1e-3, momentum=0.8),
            "train.momentum = 0.8 is not used by train.optimizer = adamw",
        ),
        (experiment(optimizer="adamw"), "train.lr = 0.1 is a rate for sgd: adamw moves every weight by about as much"),
        (experiment(betas=[0.9, 0.95]), "train.betas = [0.9, 0.95] is not used by train.optimizer = sgd"),
        (
            experiment(augment={"policy": "trivialaugment", "magnitude": 5}),
            "train.augment.magnitude = 5 is not used by train.augment.policy = trivialaugment",
        ),
        (experiment(augment={"operations": 1}), "operations = 1 is not used by train.augment.policy = null"),
        (experiment(eps=1e-6), "train.eps = 1e-06 is not used by train.optimizer = sgd"),
        (experiment(weight_decay=10.0), "train.weight_decay = 10 at train.lr = 0.1: a step decays more than all"),
        (experiment(ema_decay=0.9999), "train.ema_decay = 0.9999 averages over 10000 steps, and 100 are made"),
        (experiment(model=kernels(3)), "attention over one branch weighs nothing"),
        (
            experiment(augment={"pad_crop": 32}),
            "train.augment.pad_crop = 32 leaves nothing of some images of 32 pixels",
        ),
    ],
)
def test_what_is_hardly_meant_is_told_and_not_refused(made: Experiment, told: str) -> None:
    assert why_impossible(made) == ""
    assert any(told in line for line in doubtful(made))


@pytest.mark.parametrize(
    "made",
    [
        experiment(),
        experiment(schedule="step", step_at=[5]),
        experiment(FOLDER, "sknet50", ema_decay=0.9999),
        experiment(augment={"policy": "randaugment", "magnitude": 5, "erase": 0.1}),
        experiment(optimizer="adamw", betas=[0.9, 0.95], weight_decay=0.05, lr=1e-3),
    ],
)
def test_of_what_is_meant_nothing_is_told(made: Experiment) -> None:
    assert list(doubtful(made)) == []


def test_a_cell_that_can_not_be_trained_stands_in_the_plan_with_its_reason(toy_files: Path, capsys: Any) -> None:
    sweep = (toy_files / "sweep.yaml").read_text() + (
        "  - {name: K99, factors: {kernels: x}, set: {model.branches: [{kernel: 99}], model.attention: none}}\n"
        "  - {name: one, factors: {kernels: y}, set: {model.branches: [{kernel: 5}]}}\n"
    )
    (toy_files / "sweep.yaml").write_text(sweep)
    assert main(["plan", str(toy_files / "sweep.yaml"), "--results", str(toy_files / "results")]) == 0
    shown = capsys.readouterr().out
    assert "invalid: K99: branch 1 (99x99 G2) sees 99x99 pixels" in shown
    assert "warning: one: attention over one branch weighs nothing" in shown


def test_a_baseline_and_an_experiment_that_can_not_be_trained_are_faults(toy_files: Path) -> None:
    too_large = {"train.batch_size": "128"}
    with pytest.raises(FaultyInputError, match=r"the baseline can't exist: train.batch_size = 128 but the train split"):
        load_sweep(toy_files / "sweep.yaml", overrides=too_large)
    with pytest.raises(FaultyInputError, match=r"train.batch_size = 128 but the train split has 64 images"):
        load_single(toy_files / "toy.yaml", overrides=too_large)


@pytest.mark.parametrize(
    ("search", "told"),
    [
        ("trials: 4", "search.trials = 4, but there are 3 cells besides the baseline"),
        ("trials: 3, pruning: {rule: median, start: 2}", "search.pruning.start = 2: nothing is pruned"),
        ("trials: 3, pruning: {rule: median}", "search.pruning.peers = 4: nothing is pruned"),
    ],
)
def test_a_search_that_has_no_room_is_told_of(toy_files: Path, capsys: Any, search: str, told: str) -> None:
    (toy_files / "sweep.yaml").write_text(
        "experiment: toy.yaml\ndesign: search\nseeds: 2\nbaseline: {r: 16, lr: 0.1}\n"
        f"search: {{{search}}}\n"
        "factors:\n  r: {path: model.reduction, levels: [16, 2]}\n  lr: {path: train.lr, levels: [0.1, 0.2]}\n"
    )
    assert main(["plan", str(toy_files / "sweep.yaml"), "--results", str(toy_files / "results")]) == 0
    assert f"warning: {told}" in capsys.readouterr().out
