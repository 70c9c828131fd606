"""Networks that start from trained weights: `model.init`, and `pretrained` of the libraries' networks.

What the file lacks starts fresh only where that is attention, or a branch beside the trained one, so that kinds of
attention can be compared from one plain trained network. Everything else must be there: a network that is trained in
part without a word is no start.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from sklab.errors import SklabError
from sklab.models.convert import is_copy
from sklab.models.sk import SKConv2d
from sklab.models.weights.files import read_file, tensors_in
from sklab.models.weights.matching import Misfit, Pairs, Tensors, counted, match
from sklab.models.zoo import build
from sklab.spec import networks
from sklab.spec.model import ModelSpec, SKSpec, family_module
from sklab.spec.start.weights import Started, Weights
from sklab.store.files import checksum as file_checksum

_BRANCHES = ".branches."  # of an SK convolution, by their number


@dataclass(frozen=True)
class Start:
    """A network before its training.

    trunk   names of its parameters that come from trained weights
    origin  what is recorded of these; None where all weights are fresh
    """

    network: nn.Module
    trunk: frozenset[str] = frozenset()
    origin: Started | None = None


def start(spec: ModelSpec) -> Start:
    """The network that `spec` describes. Fresh weights are drawn from torch's global generator, all of them, also those
    that trained ones then replace: so fresh parts are the same whatever the file.

    On the meta device it is only checked. Raises SklabError, with the tensors, for weights that do not fit the network,
    and for a file that is not the one of the study any more.
    """
    if not spec.start:
        return Start(build(spec))
    tensors, checksum = _given(spec)
    plain = spec.unconverted
    network = build(plain)
    pairs = _pairs(plain, network, counted(tensors))
    take(network, tensors, pairs)
    trunk, fresh = set(pairs), len(counted(network.state_dict())) - len(pairs)
    if plain is not spec:
        bare, network = network, family_module(spec.family).converted(network, spec)
        trunk = set(_still(bare, network, trunk))
        fresh = len(counted(network.state_dict())) - len(trunk)
    parameters = {name for name, _ in network.named_parameters()}
    origin = Started(sha256=checksum, taken=len(trunk), fresh=fresh, head=_head(spec, network.state_dict()) <= trunk)
    return Start(network, frozenset(trunk & parameters), origin)


def network_of(weights: Weights) -> str:
    """The name of the network for colour images whose tensors the file holds, by name or in order, its head aside.

    Raises SklabError for a file that can't be read, and for one that is of none of the networks with a name; the
    message says where the nearest one differs.
    """
    tensors, misfits = counted(_in_file(weights)), []
    for name in networks.SETTINGS:
        spec = networks.network(name, in_channels=3)
        wanted = counted(_shapes(spec))
        found = match(wanted, tensors, _head(spec, wanted))
        if not isinstance(found, Misfit):
            return name
        misfits.append((found.tensors, name, found.reason))
    _, nearest, reason = min(misfits)
    raise SklabError(
        f"{weights.file} is of none of the networks of `sklab models`; the nearest is {nearest}, but: {reason}"
    )


def _given(spec: ModelSpec) -> tuple[Tensors, str]:
    """The trained tensors and their SHA-256."""
    if spec.init is None:
        tensors: Tensors = family_module(spec.family).pretrained(spec)
        return tensors, _checksum(tensors)
    try:
        return _in_file(spec.init), spec.init.sha256
    except SklabError as error:
        raise SklabError(f"model.init: {error}") from None


def _in_file(weights: Weights) -> Tensors:
    file = Path(weights.file).expanduser()
    content = read_file(file)
    if (found := file_checksum(content)) != weights.sha256:
        raise SklabError(
            f"{file} has changed since the study was started: its SHA-256 is {found}, and that of the study's runs "
            f"{weights.sha256}; put the old file back, or start the study again"
        )
    return tensors_in(content, file)


def _checksum(tensors: Tensors) -> str:
    """SHA-256 of the names, shapes and values, sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {list(tensors[name].shape)}\n".encode())
        digest.update(tensors[name].contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _pairs(spec: ModelSpec, network: nn.Module, held: Tensors) -> Pairs:
    """The tensors to take, by the name in the network: all, or those of the plain network within it."""
    wanted, head = counted(network.state_dict()), _head(spec, network.state_dict())
    misfits = []
    for names in ({name: name for name in wanted}, *_trunks(spec)):
        found = match({name: wanted[names[name]] for name in names}, held, head)
        if not isinstance(found, Misfit):
            return {names[mine]: theirs for mine, theirs in found.items()}
        misfits.append(found)
    nearest = min(misfits, key=lambda misfit: misfit.tensors)
    raise SklabError(f"{spec.start} does not fit the network: {nearest.reason}")


def _trunks(spec: ModelSpec) -> Iterator[Pairs]:
    """The plain networks within that of `spec`, one for each branch that may be the trained one: the names of its
    tensors, each with the name in the network. A file does not say how far its convolutions are dilated: they are taken
    not to be."""
    if not isinstance(spec, SKSpec):
        return
    without_attention = counted(_shapes(spec.model_copy(update={"attention": "none"})))
    for number, branch in enumerate(spec.windows):
        if branch.resulting_kernel == branch.kernel:
            plain = counted(_shapes(spec.model_copy(update={"branches": (branch,), "attention": "none"})))
            inner = (name for name in without_attention if _BRANCHES not in name or f"{_BRANCHES}{number}." in name)
            yield dict(zip(plain, inner, strict=True))


def _shapes(spec: ModelSpec) -> Tensors:
    with torch.device("meta"):
        return dict(build(spec).state_dict())


def _head(spec: ModelSpec, own: Tensors) -> frozenset[str]:
    """The names of the last layer's tensors among the network's `own`: those whose shape depends on the number of
    classes."""
    others = counted(_shapes(spec.model_copy(update={"num_classes": spec.num_classes + 1})))
    return frozenset(name for name, tensor in others.items() if tensor.shape != own[name].shape)


@torch.no_grad()
def take(network: nn.Module, tensors: Tensors, pairs: Pairs) -> None:
    """Give the network those of the tensors that are named in `pairs`; nothing on the meta device."""
    own = network.state_dict()
    for mine, theirs in pairs.items():
        if not own[mine].is_meta:
            own[mine].copy_(tensors[theirs].reshape(own[mine].shape))


def _still(bare: nn.Module, converted: nn.Module, taken: Iterable[str]) -> Iterator[str]:
    """The names in the converted network of the tensors that were `taken` into the bare one: those outside of SK
    convolutions, and those of each branch that is a copy of what it replaces."""
    kept, new = set(taken), counted(converted.state_dict())
    replaced = {
        path: conv
        for path, conv in bare.named_modules()
        if isinstance(conv, nn.Conv2d) and isinstance(converted.get_submodule(path), SKConv2d)
    }
    copies = {
        f"{path}.branches.{number}."
        for path, conv in replaced.items()
        for number, branch in enumerate(converted.get_submodule(path).get_submodule("branches").children())
        if is_copy(conv, branch.get_submodule("0"))
    }
    inside = tuple(f"{path}." for path in replaced)
    return (name for name in new if name.startswith(tuple(copies)) or (name in kept and not name.startswith(inside)))
