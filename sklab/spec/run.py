"""One run as a value: an experiment with a seed, and the key that names it."""

from __future__ import annotations

import hashlib
import json
from functools import cache, cached_property
from typing import Annotated, Any

from pydantic import Field, model_validator

from sklab.spec.own.parts import AnyData, AnyModel
from sklab.spec.train import TrainSpec
from sklab.spec.values import Value, ensure_no_broken_rule

SCHEMA = 1  # raise when the meaning of a resolved spec changes: old and new keys must not meet

Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Experiment(Value):
    """Data, model and recipe, fully resolved.

    data   the data set, by its `name`, and its settings
    model  the network
    train  how it is trained
    """

    data: AnyData
    model: AnyModel
    train: TrainSpec

    @property
    def libraries(self) -> tuple[str, ...]:
        """The optional libraries that decide the results: of the network, and of the recipe."""
        return tuple(dict.fromkeys((*self.model.libraries, *self.train.libraries)))

    @model_validator(mode="after")
    def _agree(self) -> Experiment:
        pairs = (
            ("num_classes", self.model.num_classes, self.data.num_classes),
            ("in_channels", self.model.in_channels, self.data.channels),
        )
        ensure_no_broken_rule(
            f"model.{name} = {of_model} but the data set {self.data.name} has {of_data}"
            for name, of_model, of_data in pairs
            if of_model != of_data
        )
        if self.train.vary and self.train.vary.split:
            ensure_no_broken_rule(self.data.why_one_split())
        return self


class RunSpec(Value):
    """One cell with one seed: all that decides the results, and nothing else (no paths, worker counts, loggers)."""

    experiment: Experiment
    seed: Seed

    @cached_property
    def trained(self) -> Experiment:
        """The experiment with this run's split of the data."""
        vary = self.experiment.train.vary
        if vary is None or vary.split is None:
            return self.experiment
        return self.experiment.model_copy(
            update={"data": self.experiment.data.split_anew(vary.sources(self.seed).split)}
        )

    @cached_property
    def key(self) -> str:
        """16 hex digits: SHA-256 of the canonical JSON of the resolved spec and the schema number.

        Places and titles are left out, and so are fields that were added later (`Value.added`) and have their
        default.
        """
        resolved = {"schema": SCHEMA, **self.model_dump(mode="json", exclude=_excluded_from_key(self))}
        text = json.dumps(resolved, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def training_of(experiment: Experiment) -> str:
    """The training of the experiment's runs, as text. It is equal for experiments whose runs with one seed are the same
    training: the same data and recipe, and networks that are built in the same way and start from the same weights."""
    resolved = experiment.model_dump(mode="json", exclude=_excluded_from_key(experiment))
    built = experiment.model.model_copy(update={"init": None}).built()
    return json.dumps({**resolved, "model": built, "init": resolved["model"].get("init")}, sort_keys=True)


def _excluded_from_key(value: Value) -> dict[str, Any]:
    """The fields of `value` that are no part of a key, as pydantic's `exclude`: by name, True or a tree of names."""
    at_default = {name for name, default in _added_defaults(type(value)).items() if getattr(value, name) == default}
    left_out: dict[str, Any] = dict.fromkeys(value.unkeyed | at_default, True)
    for name, entry in value:
        if name not in left_out and (inner := _excluded_in(entry)):
            left_out[name] = inner
    return left_out


def _excluded_in(entry: Any) -> dict[Any, Any]:
    if isinstance(entry, Value):
        return _excluded_from_key(entry)
    if isinstance(entry, tuple):
        return {place: inner for place, item in enumerate(entry) if (inner := _excluded_in(item))}
    return {}


@cache  # called for every run of a plan
def _added_defaults(kind: type[Value]) -> dict[str, Any]:
    """The fields that were added later, with their defaults."""
    return {name: kind.model_fields[name].get_default(call_default_factory=True) for name in kind.added}
