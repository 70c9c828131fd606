"""One run as a value: an experiment with a seed, and the key that names it."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Annotated, Any

from pydantic import Field, model_validator

from sklab.spec.data import AnyData, DataSpec
from sklab.spec.model import AnyModel
from sklab.spec.train import TrainSpec
from sklab.spec.values import Value, broken_rule

SCHEMA = 1  # raise when the meaning of a resolved spec changes: old and new keys must not meet

Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Experiment(Value):
    """Data, model and recipe, fully resolved."""

    data: AnyData
    model: AnyModel
    train: TrainSpec

    @model_validator(mode="after")
    def _agree(self) -> Experiment:
        for name, ours, theirs in (
            ("num_classes", self.model.num_classes, self.data.num_classes),
            ("in_channels", self.model.in_channels, self.data.channels),
        ):
            if ours != theirs:
                raise broken_rule(f"model.{name} = {ours} but the data set {self.data.name} has {theirs}")
        return self


class RunSpec(Value):
    """One cell x one seed: all that decides the numbers, and nothing else (no paths, worker counts, loggers)."""

    experiment: Experiment
    seed: Seed

    @cached_property
    def key(self) -> str:
        """16 hex digits: SHA-256 of the canonical JSON of the resolved spec and the schema number.

        Places do not count, nor do fields that were added later (`Value.added`) where they are at their default.
        """
        resolved = {"schema": SCHEMA, **self.model_dump(mode="json", exclude=_uncounted(self))}
        text = json.dumps(resolved, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _uncounted(value: Any) -> Any:
    """What of `value` is no part of a key, as pydantic's `exclude`: True, a tree of what is left out, or nothing."""
    inner: dict[int | str, Any]
    if isinstance(value, tuple):
        inner = {place: _uncounted(entry) for place, entry in enumerate(value)}
    elif isinstance(value, Value):
        inner = {name: _is_unsaid(value, name) or _uncounted(entry) for name, entry in value}
    else:
        return {}
    return {place: left_out for place, left_out in inner.items() if left_out}


def _is_unsaid(value: Value, name: str) -> bool:
    if isinstance(value, DataSpec) and name in value.places:
        return True
    default = type(value).model_fields[name].get_default(call_default_factory=True)
    return name in value.added and getattr(value, name) == default
