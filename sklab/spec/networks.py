"""The networks that have a name. Pure values: building them is `sklab.models.zoo`."""

from __future__ import annotations

from typing import Any

from sklab.spec.model import ModelSpec

_DEPTHS = {"26": [2, 2, 2, 2], "50": [3, 4, 6, 3], "101": [3, 4, 23, 3]}
_PLAIN = [{"kernel": 3}]
_SK = [{"kernel": 3}, {"kernel": 3, "dilation": 2}]  # SK[2, 32, 16]: 3x3, and 5x5 as 3x3 with D = 2
_SMALL: dict[str, Any] = {
    "stem": "small", "stem_width": 16, "depths": [1, 1, 1], "width": 16, "out_width": 32, "cardinality": 4,
    "min_dim": 8, "in_channels": 1, "num_classes": 10,
}  # fmt: skip
_KINDS: dict[str, dict[str, Any]] = {
    "resnext": {"branches": _PLAIN, "attention": "none"},
    "senet": {"branches": _PLAIN, "attention": "se"},
    "sknet": {"branches": _SK, "attention": "sk"},
}

# For each name the settings that are not ModelSpec's defaults, as they would stand in an experiment file.
SETTINGS: dict[str, dict[str, Any]] = {
    **{f"{kind}{size}": {**how, "depths": depths} for kind, how in _KINDS.items() for size, depths in _DEPTHS.items()},
    **{f"{kind}_small": {**how, **_SMALL} for kind, how in _KINDS.items()},
}


def network(name: str, **overrides: Any) -> ModelSpec:
    """The ModelSpec called `name`, with fields replaced.

    Raises KeyError for an unknown name and pydantic.ValidationError for an override that does not fit.
    """
    return ModelSpec.model_validate({**SETTINGS[name], **overrides})


def image_size(name: str) -> int:
    """The input size, in pixels a side, that the network called `name` is made for."""
    return 32 if network(name).stem == "small" else 224
