"""The optimiser of a recipe and its learning rate over the epochs."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from sklab.spec.train import TrainSpec


def make_optimizer(model: nn.Module, recipe: TrainSpec) -> torch.optim.SGD:
    """SGD over all parameters; those that the recipe does not decay stand in a second group."""
    return torch.optim.SGD(
        _groups(model, recipe),
        recipe.lr,
        recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
    )


def _groups(model: nn.Module, recipe: TrainSpec) -> Any:
    """Scales and shifts of norm layers and biases are what has one dimension; every true weight has two or more."""
    parameters = list(model.parameters())
    if recipe.decay_norm_and_bias:
        return parameters
    weights = [parameter for parameter in parameters if parameter.ndim > 1]
    others = [parameter for parameter in parameters if parameter.ndim <= 1]
    return [{"params": weights}, {"params": others, "weight_decay": 0.0}]


def learning_rate(recipe: TrainSpec, epoch: float) -> float:
    """The learning rate after `epoch` epochs (a fraction inside one): linear warm-up from 0, then steps or a cosine."""
    if epoch < recipe.warmup_epochs:
        return recipe.lr * epoch / recipe.warmup_epochs
    if recipe.schedule == "step":
        steps = sum(epoch >= at for at in recipe.step_at) if recipe.step_at else int(epoch) // recipe.step_every
        return float(recipe.lr * recipe.step_factor**steps)
    done = (epoch - recipe.warmup_epochs) / (recipe.epochs - recipe.warmup_epochs)
    return recipe.lr * (1 + math.cos(math.pi * min(done, 1.0))) / 2
