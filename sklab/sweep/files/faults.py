"""Validation errors in the words of the file they come from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from sklab.errors import Fault
from sklab.spec.data import DataSpec
from sklab.spec.model import DEFAULT_FAMILY, ModelSpec, networks
from sklab.spec.names import did_you_mean
from sklab.spec.own.parts import MAY_DEFINE, class_named, known_names
from sklab.spec.run import Experiment
from sklab.spec.study.metrics import METRICS
from sklab.spec.values import Value, keys_of, value_class
from sklab.sweep.files.yamltree import Document, Place, dotted

_MOST_ALLOWED = 20  # options listed in a message
_MOST_INDEX_DIGITS = 6
_VERY_SIMILAR = 0.8  # a name as similar as this is suggested rather than the same key in another place
_KINDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
_BOUNDS = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "too_short": "{min_length} or more entries",
    "too_long": "at most {max_length} entries",
    "string_too_short": "{min_length} or more characters",
}
# Errors of unknown names: where the name is, what it is a name of, and the possible names.
_UNKNOWN: dict[str, tuple[Place, str, Callable[[], Iterable[str]]]] = {
    "unknown_data": (("name",), "data set", lambda: known_names("data_set")),
    "unknown_family": (("family",), "family of networks", lambda: known_names("family")),
    "unknown_optimizer": ((), "optimizer", lambda: known_names("optimizer")),
    "unknown_augmentation": ((), "augmentation", lambda: known_names("augmentation")),
    "unknown_network": (("base",), "network", networks),
    "unknown_metric": ((), "metric", lambda: METRICS),
}

_MAY_BE_OWN = ("unknown_data", "unknown_family", "unknown_optimizer", "unknown_augmentation", "unknown_metric")


@dataclass(frozen=True)
class Layer:
    """Settings laid over a tree at `path`: `document` has the value at `at` and the path itself at `named_at`."""

    document: Document
    path: Place = ()
    at: Place = ()
    named_at: Place = ()


def steps(path: str) -> Place:
    """A dotted path as a place; a step of digits is a position in a list."""
    is_index = re.compile(rf"[0-9]{{1,{_MOST_INDEX_DIGITS}}}").fullmatch
    return tuple(int(step) if is_index(step) else step for step in path.split("."))


def details_of(error: ValidationError) -> list[ErrorDetails]:
    """The errors one by one, without those that only follow from others."""
    return [detail for detail in error.errors(include_url=False) if not _follows(detail)]


def explain(details: Iterable[ErrorDetails], model: type[Value], tree: Any, layers: Sequence[Layer]) -> list[Fault]:
    """One fault for each error of validating `tree` as `model`, at the place in the last layer that sets the value."""
    return [_fault(detail, model, tree, layers) for detail in details]


def _follows(detail: ErrorDetails) -> bool:
    """Whether a list is reported as too short only because some of its entries are faulty."""
    return detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]


def distinct(faults: Iterable[Fault]) -> list[Fault]:
    """The first fault of every place: a value that could not be read is not reported again as a wrong value."""
    first: dict[tuple[str, int, str], Fault] = {}
    for fault in faults:
        first.setdefault((fault.file, fault.line, fault.place), fault)
    return list(first.values())


def options(words: Iterable[str]) -> str:
    """The allowed values as a list for a message, cut where it gets long."""
    listed = list(dict.fromkeys(words))
    return ", ".join(listed[:_MOST_ALLOWED]) + (", ..." if len(listed) > _MOST_ALLOWED else "")


def _fault(detail: ErrorDetails, model: type[Value], tree: Any, layers: Sequence[Layer]) -> Fault:
    place: Place = detail["loc"]
    if detail["type"] in _UNKNOWN:
        place = (*place, *_UNKNOWN[detail["type"]][0])
    layer = _blamed(place, layers)
    if detail["type"] == "extra_forbidden":
        return _unknown_key(place, layer, _fields(model, tree, place[:-1]), _elsewhere(model, tree, str(place[-1])))
    inside = layer.at + place[len(layer.path) :]
    if detail["type"] in _UNKNOWN:
        _, what, known = _UNKNOWN[detail["type"]]
        return layer.document.fault(
            inside, f"unknown {what}", allowed=_allowed(detail["type"], known()), hint=str(detail["ctx"]["hint"])
        )
    if len(place) < len(layer.path) and detail["type"] in _KINDS:
        return layer.document.fault(layer.named_at, f"there is nothing called {str(layer.path[len(place)])!r} to set")
    message, allowed, hint = _wording(detail, _field(model, tree, place))
    return layer.document.fault(inside, message, allowed=allowed, hint=hint)


def _allowed(kind: str, known: Iterable[str]) -> str:
    names = options(known)
    return f"{names}; {MAY_DEFINE}" if kind in _MAY_BE_OWN else names


def _blamed(place: Place, layers: Sequence[Layer]) -> Layer:
    """The last layer whose path leads to `place` or into it."""
    for layer in reversed(layers):
        shared = min(len(place), len(layer.path))
        if layer.path[:shared] == place[:shared]:
            return layer
    return layers[-1]


def _unknown_key(place: Place, layer: Layer, allowed: Sequence[str], elsewhere: str) -> Fault:
    key = str(place[-1])
    near = did_you_mean(key, allowed, _VERY_SIMILAR) or ("" if elsewhere else did_you_mean(key, allowed))
    if len(place) > len(layer.path):
        at = layer.at + place[len(layer.path) :]
        return layer.document.fault(at, "unknown key", found=key, allowed=options(allowed), hint=near or elsewhere)
    corrected = dotted((*place[:-1], near, *layer.path[len(place) :])) if near else elsewhere
    written = dotted(layer.path)
    return layer.document.fault(layer.named_at, "unknown key", found=written, allowed=options(allowed), hint=corrected)


def _wording(detail: ErrorDetails, field: FieldInfo | None) -> tuple[str, str, str]:
    """The message, the allowed values and a "did you mean"."""
    kind, context = detail["type"], detail.get("ctx", {})
    described = (field and field.description) or ""
    if kind == "missing":
        return "missing", described or options(_literals(field)), ""
    if kind == "literal_error":
        return "unknown value", options(_literals(field)), did_you_mean(str(detail["input"]), _literals(field))
    if kind in _KINDS:
        return "wrong type", described or _KINDS[kind], ""
    if kind in _BOUNDS:
        return "out of range", _BOUNDS[kind].format(**context), ""
    return str(context["error"]) if kind == "value_error" else detail["msg"], "", ""


def _literals(field: FieldInfo | None) -> list[str]:
    annotation = field.annotation if field else None
    kinds = [annotation, *get_args(annotation)]  # the second for one that may be None
    return [str(value) for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]


def _elsewhere(model: type[Value], tree: Any, key: str) -> str:
    """The path of another place where `key` may stand, in a sweep also one in its experiment; "" for none."""
    if path := dict(_keys(model, tree, ())).get(key):
        return path
    path = dict(_keys(Experiment, {}, ())).get(key) if "experiment" in model.model_fields else None
    return f"{path} of the experiment" if path else ""


def _keys(model: type[Value], tree: Any, place: Place) -> Iterator[tuple[str, str]]:
    """The keys of `model` and of the mappings in it, with their paths; the outermost last."""
    owner = _owner(model, tree, place)
    for name, field in (keys_of(owner) if owner else {}).items():
        if _holds_keys(field.annotation):
            yield from _keys(model, tree, (*place, name))
    yield from ((name, dotted((*place, name))) for name in (keys_of(owner) if owner else ()))


def _holds_keys(annotation: Any) -> bool:
    """Whether this is the type of one mapping with keys of its own, not of a list of them."""
    if isinstance(annotation, type):
        return issubclass(annotation, Value)
    return get_origin(annotation) not in (tuple, dict) and any(map(_holds_keys, get_args(annotation)))


def _field(model: type[Value], tree: Any, place: Place) -> FieldInfo | None:
    owner = _owner(model, tree, place[:-1])
    return keys_of(owner).get(str(place[-1])) if owner and place else None


def _fields(model: type[Value], tree: Any, place: Place) -> tuple[str, ...]:
    owner = _owner(model, tree, place)
    return tuple(keys_of(owner)) if owner else ()


def _owner(model: type[Value], tree: Any, place: Place) -> type[Value] | None:
    """The class that decides which keys `place` may have; for a list position or a name in a mapping, the class around
    it."""
    owner: type[Value] | None = model
    for step in place:
        if owner and step in owner.model_fields:
            owner = value_class(owner.model_fields[str(step)].annotation)
        if owner is DataSpec:
            owner = class_named("data_set", _entry(tree, "data", "name")) or DataSpec
        if owner is ModelSpec:
            owner = class_named("family", _entry(tree, "model", "family") or DEFAULT_FAMILY) or ModelSpec
    return owner


def _entry(tree: Any, section: str, key: str) -> Any:
    entries = tree.get(section) if isinstance(tree, Mapping) else None
    return entries.get(key) if isinstance(entries, Mapping) else None
