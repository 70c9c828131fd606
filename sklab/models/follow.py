"""What follows a convolution in a network's forward pass, found by tracing it without running it (torch.fx)."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.modules.batchnorm import _NormBase

from sklab.errors import SklabError

_NORMS = (_NormBase, nn.GroupNorm)  # batch and instance norms, and what derives from them
_ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish,
    nn.Hardtanh, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh, nn.Softplus,
)  # fmt: skip
_RELUS = (F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_")


@dataclass(frozen=True)
class Followers:
    """The paths of the norm and the activation that take only this convolution's output; "" where there is none.

    relu_stays  whether a ReLU follows that other layers use too, or that is called as a function
    """

    norm: str = ""
    activation: str = ""
    relu_stays: bool = False


def follow(module: nn.Module, chosen: Iterable[str]) -> dict[str, Followers]:
    """By path, what follows the chosen convolutions of `module`.

    Raises SklabError if the forward pass can't be traced, or does not call each convolution exactly once.
    """
    paths = list(chosen)
    if paths == [""]:
        return {"": Followers()}
    graph = _trace(module, paths)
    calls = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    wrong = [f"  {path}: the forward pass calls it {calls[path]} times" for path in paths if calls[path] != 1]
    if wrong:
        raise SklabError("only a convolution that is called once can be replaced\n" + "\n".join(wrong))
    parts = dict(module.named_modules())
    nodes = {str(node.target): node for node in graph.nodes if node.op == "call_module"}
    return {path: _followers(nodes[path], parts, calls) for path in paths}


def _followers(conv: fx.Node, parts: Mapping[str, nn.Module], calls: Counter[str]) -> Followers:
    norm, activation = "", ""
    after = _user(conv, parts)
    if after is not None and calls[str(after.target)] == 1 and isinstance(_called(after, parts), _NORMS):
        norm = str(after.target)
        after = _user(after, parts)
    if after is not None and isinstance(_called(after, parts), _ACTIVATIONS) and calls[str(after.target)] == 1:
        activation = str(after.target)
    relu = after is not None and (isinstance(_called(after, parts), nn.ReLU) or after.target in _RELUS)
    return Followers(norm, activation, relu_stays=relu and not activation)


def _user(node: fx.Node, parts: Mapping[str, nn.Module]) -> fx.Node | None:
    """The only node that takes this node's output, skipping identities; None if there are several."""
    while len(node.users) == 1:
        (node,) = node.users
        if not isinstance(_called(node, parts), nn.Identity):
            return node
    return None


def _called(node: fx.Node, parts: Mapping[str, nn.Module]) -> nn.Module | None:
    return parts[str(node.target)] if node.op == "call_module" else None


class _Tracer(fx.Tracer):
    """Traces only the modules that contain a chosen convolution, so nothing else needs to be traceable."""

    def __init__(self, containers: set[nn.Module]) -> None:
        super().__init__()
        self.containers = containers

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:  # noqa: ARG002
        return m not in self.containers


def _trace(module: nn.Module, paths: Iterable[str]) -> fx.Graph:
    parents = {path[:end] for path in paths for end, letter in enumerate(path) if letter == "."}
    parameters = inspect.signature(module.forward).parameters.values()
    defaults: dict[str, Any] = {
        parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty
    }
    try:
        return _Tracer({module, *map(module.get_submodule, parents)}).trace(module, defaults or None)
    except Exception as error:  # whatever the network's own code raises when it meets a stand-in for a tensor
        raise SklabError(
            f"the forward pass of this {type(module).__name__} can't be traced, so what follows the convolutions is "
            f"not known ({error}); convert the part of it that holds them"
        ) from error
