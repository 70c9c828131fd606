"""Which tensor of a file is which tensor of a network: by name, or by order where all names differ.

Order is that of the modules in the network, as in a state dict. A file of safetensors is sorted by name instead; for
networks that name their modules as ResNets do in torchvision and timm, the order is found again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from torch import Tensor

from sklab.system.terminal import quantity

_UNCOUNTED = "num_batches_tracked"  # batch norm keeps it beside its statistics, and uses it for nothing
_SHOWN = 3  # tensors in a message
# The modules of ResNets and of their attention in torchvision and timm, and the tensors of a layer, in order.
_IN_RESNETS = (
    *("conv", "conv1", "bn1", "conv2", "paths", "attn", "fc_reduce", "bn", "fc_select", "bn2", "conv3", "bn3"),
    *("se", "fc1", "fc2", "downsample", "layer1", "layer2", "layer3", "layer4", "fc"),
    *("weight", "bias", "running_mean", "running_var"),
)
_RANKS = {part: rank for rank, part in enumerate(_IN_RESNETS)}


class Misfit(NamedTuple):
    """Why a file does not fit a network, and how many tensors are at fault, at least."""

    reason: str
    tensors: int


Pairs = dict[str, str]  # names in the network -> names in the file
Tensors = Mapping[str, Tensor]


def counted(tensors: Tensors) -> dict[str, Tensor]:
    """The tensors without the counters of batch norm."""
    return {name: tensor for name, tensor in tensors.items() if _leaf(name) != _UNCOUNTED}


def match(wanted: Tensors, held: Tensors, head: Collection[str]) -> Pairs | Misfit:
    """For each tensor of the network (`wanted`) its name in the file (`held`); without the `head` where the file's has
    another shape. Every other tensor of either must have its partner in the other."""
    if any(name in held for name in wanted):
        return _by_name(wanted, held, head)
    return _by_order(wanted, in_module_order(held), head)


def _by_name(wanted: Tensors, held: Tensors, head: Collection[str]) -> Pairs | Misfit:
    both = [name for name in wanted if name in held]
    odd = [name for name in both if name not in head and not fits(wanted[name], held[name])]
    missing = {name: wanted[name] for name in wanted if name not in held}
    foreign = {name: held[name] for name in held if name not in wanted}
    if odd or missing or foreign:
        other = [f"{name} {_shape(held[name])} for {_shape(wanted[name])}" for name in odd]
        parts = (
            _listed("of another shape", other),
            _listed("that the file lacks", _described(missing)),
            _listed("that the network lacks", _described(foreign)),
        )
        return Misfit("; ".join(filter(None, parts)), len(odd) + len(missing) + len(foreign))
    return {name: name for name in both if fits(wanted[name], held[name])}


def _by_order(wanted: Tensors, held: Tensors, head: Collection[str]) -> Pairs | Misfit:
    pairs = list(zip(wanted, held, strict=False))
    surplus = abs(len(wanted) - len(held))
    for number, (mine, theirs) in enumerate(pairs, start=1):
        if _leaf(mine) != _leaf(theirs) or not (mine in head or fits(wanted[mine], held[theirs])):
            names = f"{theirs} {_shape(held[theirs])} in the file, {mine} {_shape(wanted[mine])} in the network"
            return Misfit(f"no names are the same, and in order they part at tensor {number}: {names}", surplus + 1)
    if surplus:
        rest = dict([*(wanted if len(wanted) > len(held) else held).items()][len(pairs) :])
        what = "that the file lacks" if len(wanted) > len(held) else "that the network lacks"
        return Misfit(f"no names are the same, and in order there are {_listed(what, _described(rest))}", surplus)
    return {mine: theirs for mine, theirs in pairs if fits(wanted[mine], held[theirs])}


def in_module_order(held: Tensors) -> dict[str, Tensor]:
    """The tensors in the order of their modules, if they are named as in ResNets; else as they are."""
    keys = {
        name: [_RANKS.get(part, int(part) if part.isdigit() else None) for part in name.split(".")] for name in held
    }
    if any(None in key for key in keys.values()):
        return dict(held)
    stem_first = {name: (_outer(name), key) for name, key in keys.items()}
    return {name: held[name] for name in sorted(held, key=stem_first.__getitem__)}


def _outer(name: str) -> int:
    """The place of a module of the whole network: stem, stages, head."""
    stage = re.match(r"layer(\d)\.", name)
    return int(stage[1]) if stage else 9 if name.startswith("fc.") else 0


def fits(mine: Tensor, theirs: Tensor) -> bool:
    """Whether the shapes are equal; a 1x1 convolution [d, C, 1, 1] is as good as a linear layer [d, C]."""
    return _flat(mine) == _flat(theirs)


def _flat(tensor: Tensor) -> tuple[int, ...]:
    shape = tuple(tensor.shape)
    return shape[:2] if len(shape) == 4 and shape[2:] == (1, 1) else shape


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _shape(tensor: Tensor) -> list[int]:
    return list(tensor.shape)


def _described(tensors: Tensors) -> Iterator[str]:
    return (f"{name} {_shape(tensor)}" for name, tensor in tensors.items())


def _listed(what: str, entries: Collection[str] | Iterator[str]) -> str:
    """`3 tensors that the file lacks (a [1], b [2], ...)`; "" for none."""
    every = list(entries)
    more = ", ..." if len(every) > _SHOWN else ""
    return f"{quantity(len(every), 'tensor')} {what} ({', '.join(every[:_SHOWN])}{more})" if every else ""
