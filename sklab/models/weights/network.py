"""A trained network from a file of weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from sklab.errors import Fault, FaultyInputError, SklabError
from sklab.models.weights.description import Description, described
from sklab.models.weights.files import metadata_in, read_file, tensors_in
from sklab.models.weights.matching import Misfit, counted, match
from sklab.models.weights.start import take
from sklab.models.zoo import build, specified
from sklab.spec.model import DEFAULT_FAMILY, ModelSpec, families
from sklab.spec.names import did_you_mean
from sklab.spec.networks import SETTINGS
from sklab.store.files import checksum


class Trained(NamedTuple):
    """A network with the weights of a file, in eval mode on the CPU.

    description  what the file says of itself, if it does
    digest       SHA-256 of the file
    """

    network: nn.Module
    model: ModelSpec
    description: Description | None
    digest: str


def trained_network(file: Path, model: Mapping[str, Any]) -> Trained:
    """The network in `file`: the one that its metadata describe, or, where there are settings, that of `model`.

    Raises SklabError where the file can't be read, where neither says which network it is, where the settings are not
    those of a network, and where the tensors are not its tensors, by name or, as from timm, in order.
    """
    content = read_file(file)
    tensors = tensors_in(content, file)
    description = described(metadata_in(content), str(file)) if file.suffix == ".safetensors" else None
    if description is None and not model:
        example = "for example --model sknet50, or --model base=sknet50 num_classes=10"
        raise SklabError(f"{file}: does not say which network it is of; --model does, {example}")
    spec = model_of(model) if model or description is None else description.model
    network = build(spec)
    found = match(counted(network.state_dict()), counted(tensors), head=())
    if isinstance(found, Misfit):
        raise SklabError(f"{file} does not fit the network: {found.reason}")
    take(network, tensors, found)
    return Trained(network.eval(), spec, description, checksum(content))


def model_of(settings: Mapping[str, Any]) -> ModelSpec:
    """The network of these settings, as they stand under `model:` in an experiment. Raises FaultyInputError."""
    base, own = settings.get("base"), {key: value for key, value in settings.items() if key != "base"}
    if base is not None and base not in SETTINGS:
        raise _unknown("base", "network", base, tuple(SETTINGS))
    resolved = {"family": DEFAULT_FAMILY, **SETTINGS.get(str(base), {}), **own}
    if resolved["family"] not in families():
        raise _unknown("family", "family", resolved["family"], families())
    return specified(resolved, "--model")


def _unknown(place: str, what: str, found: object, known: tuple[str, ...]) -> FaultyInputError:
    hint = did_you_mean(str(found), known)
    return FaultyInputError([Fault("--model", place, f"unknown {what}", 0, repr(found), ", ".join(known), hint)])
