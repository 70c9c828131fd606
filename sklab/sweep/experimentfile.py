"""An experiment file, with `--set` laid over it, as a tree that knows where each of its settings comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sklab.errors import Fault, FaultyInputError, did_you_mean
from sklab.spec.networks import SETTINGS
from sklab.spec.run import Experiment
from sklab.spec.values import RULE
from sklab.sweep.design import NoSuchEntryError, NoSuchPlaceError, lay, resolve
from sklab.sweep.faults import Layer, details_of, distinct, explain, options, steps
from sklab.sweep.yamltree import Document, Place, dotted, parse, read_mapping

COMMAND_LINE = "--set"  # the "file" of faults in what was given there
Known = Set[tuple[Place, str]]  # errors, by place and type

_NETWORK = ("model", "base")


@dataclass(frozen=True)
class Base:
    """`tree` can be resolved when there are no `faults`; `known` are the errors that those tell of."""

    name: str
    tree: dict[str, Any]
    layers: tuple[Layer, ...]
    faults: tuple[Fault, ...]
    known: Known


def read_experiment(file: Path, overrides: Mapping[str, str]) -> Base:
    """The experiment in `file` with the values of `overrides` (YAML text by dotted path) laid over it.

    Raises FaultyInputError for a file that can't be read at all; every lesser fault stands in the Base.
    """
    document = read_mapping(file)
    given, unread = _given(overrides)
    tree, unknown = _with_network(document, given)
    tree, layers, unlaid = _with_overrides(document, tree, given)
    faults = [*document.faults, *unread, *unknown, *unlaid]
    wrong, known = _errors(tree, layers, is_whole=not faults)
    return Base(file.stem, tree, layers, tuple(distinct([*faults, *wrong])), known)


def _given(overrides: Mapping[str, str]) -> tuple[list[Document], list[Fault]]:
    given: list[Document] = []
    faults: list[Fault] = []
    for path, text in overrides.items():
        try:
            given.append(parse(text, COMMAND_LINE, steps(path)))
            faults += given[-1].faults
        except FaultyInputError as error:
            faults += error.faults
    return given, faults


def _with_network(document: Document, given: Sequence[Document]) -> tuple[dict[str, Any], list[Fault]]:
    """The file's tree with the settings of the network that `model.base` names under those of its own."""
    tree, model = document.tree, document.tree.get("model")
    override = next((value for value in given if value.prefix == _NETWORK), None)
    if not isinstance(model, dict) or ("base" not in model and override is None):
        return tree, []
    name = str(override.tree if override else model["base"])
    own = {key: value for key, value in model.items() if key != "base"}
    if name in SETTINGS:
        return {**tree, "model": {**SETTINGS[name], **own}}, []
    source, place = (override, ()) if override else (document, _NETWORK)
    fault = source.fault(place, "unknown network", allowed=options(SETTINGS), hint=did_you_mean(name, SETTINGS))
    return {**tree, "model": {**SETTINGS["sknet50"], **own}}, [fault]  # any network will do to check the rest


def _with_overrides(
    document: Document, tree: dict[str, Any], given: Sequence[Document]
) -> tuple[dict[str, Any], tuple[Layer, ...], list[Fault]]:
    layers, faults = [Layer(document)], []
    for override in given:
        if override.prefix == _NETWORK:
            continue
        try:
            tree = dict(lay(tree, {dotted(override.prefix): override.tree}))
            layers.append(Layer(override, override.prefix))
        except (NoSuchEntryError, NoSuchPlaceError) as error:
            faults.append(override.fault((), error.reason))
    return tree, tuple(layers), faults


def _errors(tree: dict[str, Any], layers: Sequence[Layer], is_whole: bool) -> tuple[list[Fault], Known]:
    """What is wrong with the values; broken rules only of a tree that `is_whole`, without a fault so far."""
    try:
        resolve(tree)
    except ValidationError as error:
        details = details_of(error)
        plain = [detail for detail in details if detail["type"] != RULE]
        told = plain or (details if is_whole else [])
        return explain(told, Experiment, tree, layers), {(detail["loc"], detail["type"]) for detail in details}
    return [], set()
