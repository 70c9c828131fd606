"""Fine-tuning: what of a network that started from trained weights is held fast, and what learns at a smaller rate."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sklab.errors import SklabError
from sklab.models.weights.start import Start, start
from sklab.spec.model import ModelSpec
from sklab.spec.train import TrainSpec

_log = logging.getLogger(__name__)


def begin(model: ModelSpec, recipe: TrainSpec) -> Start:
    """The network that `model` describes, on torch's default device, with what the recipe freezes frozen.

    Raises SklabError for weights that do not fit, for a pattern of `freeze` that matches nothing, and where nothing is
    left to train.
    """
    begun = start(model)
    if begun.origin:
        _log.info("the network starts from %s: %s", model.start, begun.origin)
    for parameter in _frozen(begun, recipe):
        parameter.requires_grad_(False)
    hold_norms(begun.network)
    if not any(parameter.requires_grad for parameter in begun.network.parameters()):
        frozen = f"train.trunk_lr = {recipe.trunk_lr:g} and train.freeze = {list(recipe.freeze)}"
        raise SklabError(f"{frozen} leave nothing to train")
    return begun


def _frozen(begun: Start, recipe: TrainSpec) -> Iterator[nn.Parameter]:
    if recipe.trunk_lr == 0:
        named = dict(begun.network.named_parameters())
        yield from (named[name] for name in begun.trunk)
    modules = dict(begun.network.named_modules())
    for pattern in recipe.freeze:
        matched = [modules[path] for path in modules if path and fnmatchcase(path, pattern)]
        parameters = [parameter for module in matched for parameter in module.parameters()]
        if not parameters:
            outermost = ", ".join(path for path in modules if path and path.count(".") <= 1)
            raise SklabError(f"train.freeze: no weights are under {pattern!r}; modules of the network: {outermost}")
        yield from parameters


def hold_norms(network: nn.Module) -> None:
    """Put batch norms that are frozen into eval mode: their running statistics then stay, and are what they use."""
    for layer in network.modules():
        if isinstance(layer, _BatchNorm) and layer.affine and not layer.weight.requires_grad:
            layer.eval()


def to_training(network: nn.Module) -> nn.Module:
    """`network` in training mode, but for norms that are frozen."""
    network.train()
    hold_norms(network)
    return network
