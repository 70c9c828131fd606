"""A file of own code with one thing of each kind, as its users write it, and experiments that use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sklab.launch.base import Job
from sklab.launch.inline import InlineLauncher
from sklab.launch.slots import Slot
from sklab.own import files
from sklab.spec.run import RunSpec
from sklab.store.records import Code, RunOrder
from sklab.store.run_folder import RunFolder

LAB = """
import numpy as np
import torch
from torch import nn

import sklab


@sklab.family("two_layers")
def two_layers(num_classes: int, in_channels: int, width: int = 8, pool: str = "average"):
    reduce = {"average": nn.AdaptiveAvgPool2d, "max": nn.AdaptiveMaxPool2d}[pool]
    conv = nn.Conv2d(in_channels, width, 3, padding=1)
    return nn.Sequential(conv, nn.ReLU(), reduce(1), nn.Flatten(), nn.Linear(width, num_classes))


@sklab.data_set("bars", classes=["across", "down"], image_size=8, channels=1)
def bars(split, count: int = 64, seed: int = 0):
    rng = np.random.default_rng([seed, ["train", "val", "test"].index(split)])
    labels = rng.integers(0, 2, count)
    images = rng.integers(0, 128, (count, 1, 8, 8), dtype=np.uint8)
    for image, label, at in zip(images, labels, rng.integers(0, 8, count), strict=True):
        image[0][(slice(None), at) if label else at] = 255
    return images, labels


@sklab.optimizer("lion")
class Lion(torch.optim.Optimizer):
    def __init__(self, parameters, lr, weight_decay, beta: float = 0.9):
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "beta": beta})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                mean = self.state[weight].setdefault("mean", torch.zeros_like(weight))
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.sub_(group["lr"] * torch.sign(mean.lerp(weight.grad, 1 - group["beta"])))
                mean.lerp_(weight.grad, 0.01)
        return loss


@sklab.augmentation("dim")
def dim(image, generator, most: float = 0.5):
    share = 1 - most * torch.rand(1, generator=generator)
    return (image * share).to(torch.uint8)


@sklab.metric("worst_class_error", better="lower", unit="%")
def worst_class_error(scores, targets):
    wrong = scores.argmax(1) != targets
    return max(wrong[targets == label].float().mean().item() for label in targets.unique())
"""
DATA: dict[str, Any] = {"name": "bars"}
MODEL: dict[str, Any] = {"family": "two_layers", "in_channels": 1, "num_classes": 2}
TRAIN: dict[str, Any] = {"epochs": 2, "batch_size": 16, "lr": 0.1}
EXPERIMENT = """\
data: {name: bars}
model: {family: two_layers, in_channels: 1, num_classes: 2}
train: {epochs: 2, batch_size: 16, lr: 0.1}
"""
SWEEP = """\
experiment: e.yaml
design: grid
seeds: 2
factors:
  width: {path: model.width, levels: [4, 8]}
baseline: {width: 4}
"""


def lab_in(folder: Path, text: str = LAB) -> Path:
    """The file in `folder`, with an experiment and a sweep that use it."""
    (folder / "my_lab.py").write_text(text)
    (folder / "e.yaml").write_text(EXPERIMENT)
    (folder / "s.yaml").write_text(SWEEP)
    return folder / "my_lab.py"


def own_order(folder: Path, *, seed: int = 0, **parts: dict[str, Any]) -> RunOrder:
    """The order of a run that uses the file in `folder`; `data`, `model` and `train` replace settings."""
    files.choose(lab_in(folder))
    whole = {"data": DATA, "model": MODEL, "train": TRAIN}
    experiment = {name: {**settings, **parts.get(name, {})} for name, settings in whole.items()}
    spec = RunSpec.model_validate({"experiment": experiment, "seed": seed})
    return RunOrder(key=spec.key, study="s", cell="cell", spec=spec, code=Code(version="0"))


def trained(folder: Path, **parts: dict[str, Any]) -> RunFolder:
    """The folder of that run, trained in this process."""
    order = own_order(folder, **parts)
    run = RunFolder(folder / "results" / "s" / "runs" / order.key)
    run.write_order(order)
    InlineLauncher(Slot(None, "cpu", 1)).submit(Job("train", run.path))
    return run


def forget() -> None:
    """As in a new process, of somebody who has named no file yet."""
    files._loaded.clear()
    files._choice.clear()
    files._places.clear()
