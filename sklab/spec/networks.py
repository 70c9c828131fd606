"""The networks that have a name, as pure values. `sklab.models.zoo` builds them."""

from __future__ import annotations

from typing import Any

from sklab.spec.model import ModelSpec, families, family_module, family_spec

# By name, the family and the settings that are not the family's defaults, as in an experiment file.
SETTINGS: dict[str, dict[str, Any]] = {
    name: {"family": family, **settings}
    for family in families()
    for name, settings in family_module(family).SETTINGS.items()
}


def network(name: str, **overrides: Any) -> ModelSpec:
    """The specification of the network called `name`, with fields replaced.

    Raises KeyError for an unknown name and pydantic.ValidationError for an override that does not fit.
    """
    settings = SETTINGS[name]
    return family_spec(settings["family"]).model_validate({**settings, **overrides})


def image_size(name: str) -> int:
    """The input size, in pixels a side, that the network called `name` is made for."""
    return network(name).image_size
