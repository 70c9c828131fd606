"""Networks by name and by value."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from torch import nn

from sklab.errors import Fault, FaultyInputError
from sklab.spec.model import ModelSpec, family_module, family_spec
from sklab.spec.names import did_you_mean
from sklab.spec.networks import SETTINGS, network
from sklab.spec.values import Value, class_in


def list_models() -> tuple[str, ...]:
    """Every name that `create_model` knows."""
    return tuple(SETTINGS)


def create_model(name: str, **overrides: Any) -> nn.Module:
    """The network called `name`, with fields of its specification replaced: `create_model("sknet50", num_classes=10)`.

    Input [N, in_channels, H, W], output logits [N, num_classes]; weights drawn from torch's global generator.
    Raises FaultyInputError for an unknown name, and for overrides that do not fit (every fault at once).
    """
    if name not in SETTINGS:
        known, hint = ", ".join(SETTINGS), did_you_mean(name, SETTINGS)
        raise FaultyInputError([Fault("create_model", "name", "unknown model", 0, repr(name), known, hint)])
    try:
        return build(network(name, **overrides))
    except ValidationError as error:
        raise FaultyInputError([_fault(name, detail) for detail in error.errors()]) from None


def build(spec: ModelSpec) -> nn.Module:
    """The network that `spec` describes, with fresh weights from torch's global generator."""
    network: nn.Module = family_module(spec.family).build(spec)
    return network


def _fault(name: str, detail: ErrorDetails) -> Fault:
    place = ".".join(map(str, detail["loc"]))
    if detail["type"] == "extra_forbidden":
        options = _fields_at(family_spec(SETTINGS[name]["family"]), detail["loc"])
        hint = did_you_mean(str(detail["loc"][-1]), options)
        return Fault(f"create_model({name!r})", place, "unknown setting", allowed=", ".join(options), hint=hint)
    # A rule between fields is broken by the specification as a whole, which is too long to show.
    found = repr(detail["input"]) if place else ""
    message = detail["msg"].removeprefix("Value error, ")
    return Fault(f"create_model({name!r})", place or "overrides", message, found=found)


def _fields_at(owner: type[Value], place: tuple[int | str, ...]) -> tuple[str, ...]:
    """The keys that may stand beside the one at `place`."""
    for step in place[:-1]:
        field = owner.model_fields.get(str(step))
        owner = (field and class_in(field.annotation)) or owner
    return tuple(owner.model_fields)
