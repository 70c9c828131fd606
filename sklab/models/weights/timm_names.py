"""Our networks that timm has too, by its names: of the network, and of its tensors.

timm is not needed to write them. A linear layer of ours is a 1x1 convolution there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sklab.errors import SklabError
from sklab.spec.model import ModelSpec
from sklab.spec.networks import network

_DEPTHS = {"26": [2, 2, 2, 2], "50": [3, 4, 6, 3], "101": [3, 4, 23, 3]}
# By timm's name: the name of ours, layers, inner width of the first stage, and groups.
_RESNETS: dict[str, tuple[str, str, int, int]] = {
    "resnet26": ("resnext50", "26", 64, 1),
    "resnet50": ("resnext50", "50", 64, 1),
    "resnet101": ("resnext50", "101", 64, 1),
    "wide_resnet50_2": ("resnext50", "50", 128, 1),
    "wide_resnet101_2": ("resnext50", "101", 128, 1),
    "resnext50_32x4d": ("resnext50", "50", 128, 32),
    "resnext101_32x4d": ("resnext50", "101", 128, 32),
    "resnext101_32x8d": ("resnext50", "101", 256, 32),
    "resnext101_64x4d": ("resnext50", "101", 256, 64),
    "seresnet50": ("senet50", "50", 64, 1),
    "seresnet101": ("senet50", "101", 64, 1),
    "seresnext50_32x4d": ("senet50", "50", 128, 32),
    "seresnext101_32x4d": ("senet50", "101", 128, 32),
    "seresnext101_32x8d": ("senet50", "101", 256, 32),
    "seresnext101_64x4d": ("senet50", "101", 256, 64),
    "skresnext50_32x4d": ("sknet50", "50", 128, 32),
}
# Modules of a unit. In timm's SK networks each convolution and its normalisation have a module of their own.
_WHOLE = {r"stem\.0": "conv1", r"stem\.1": "bn1", "head": "fc"}
_UNIT = {
    r"reduce\.0": "conv1",
    r"reduce\.1": "bn1",
    r"sk\.branches\.0\.0": "conv2",
    r"sk\.branches\.0\.1": "bn2",
    r"expand\.0": "conv3",
    r"expand\.1": "bn3",
    r"se\.gate\.0": "se.fc1",
    r"se\.gate\.2": "se.fc2",
    r"shortcut\.(\d)": r"downsample.\1",
}
_SK_UNIT = {
    r"reduce\.0": "conv1.conv",
    r"reduce\.1": "conv1.bn",
    r"sk\.branches\.(\d)\.0": r"conv2.paths.\1.conv",
    r"sk\.branches\.(\d)\.1": r"conv2.paths.\1.bn",
    r"sk\.attention\.squeeze\.0": "conv2.attn.fc_reduce",
    r"sk\.attention\.squeeze\.1": "conv2.attn.bn",
    r"sk\.attention\.expand": "conv2.attn.fc_select",
    r"expand\.0": "conv3.conv",
    r"expand\.1": "conv3.bn",
    r"shortcut\.(\d)": r"downsample.\1",
}
_CONVOLVED = re.compile(r"\.(fc1|fc2|fc_reduce|fc_select)\.weight")


def timm_name(spec: ModelSpec) -> str:
    """What timm calls the network of `spec`. Raises SklabError where timm has no such network."""
    if spec.family == "foreign":
        return _foreign_name(spec)
    if spec.family == "bottleneck":
        for name in _RESNETS:
            if _ours(name, spec).built() == spec.built():
                return name
    raise SklabError(f"timm has no such network; of ours it has {', '.join(_RESNETS)}, with any classes and channels")


def in_timm(spec: ModelSpec, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the network of `spec`, which has a `timm_name`, by timm's names and in its shapes."""
    if spec.family == "foreign":
        return dict(tensors)
    modules = _SK_UNIT if timm_name(spec).startswith("sk") else _UNIT
    named = {_renamed(name, modules): tensor for name, tensor in tensors.items()}
    return {name: tensor[..., None, None] if _CONVOLVED.search(name) else tensor for name, tensor in named.items()}


def _foreign_name(spec: Any) -> str:
    if spec.library == "timm" and spec.sk is None:
        name: str = spec.name
        return name
    found = f"{spec.library}'s {spec.name}{' with SK convolutions' if spec.sk else ''}"
    raise SklabError(f"timm has no such network: {found}")


def _ours(name: str, spec: ModelSpec) -> ModelSpec:
    """The network that timm calls `name`, for as many classes and channels as `spec`."""
    base, layers, width, groups = _RESNETS[name]
    branches = [{**branch, "groups": groups} for branch in network(base).model_dump()["branches"]]
    ends = {"in_channels": spec.in_channels, "num_classes": spec.num_classes}
    return network(base, depths=_DEPTHS[layers], width=width, branches=branches, **ends)


def _renamed(name: str, modules: Mapping[str, str]) -> str:
    unit = re.fullmatch(r"units\.SK_(\d+)_(\d+)\.(.+)", name)
    if unit is None:
        return _by(_WHOLE, name)
    stage, number = int(unit[1]) - 1, int(unit[2]) - 1
    return f"layer{stage}.{number}.{_by(modules, unit[3])}"


def _by(table: Mapping[str, str], name: str) -> str:
    for ours, theirs in table.items():
        renamed, found = re.subn(rf"^{ours}\.", f"{theirs}.", name)
        if found:
            return renamed
    raise KeyError(name)  # a tensor that no network of timm has: a bug
