"""An experiment file, with `--set` laid over it, as a tree that knows where each of its settings comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sklab.errors import Fault, FaultyInputError, SklabError
from sklab.spec.names import did_you_mean
from sklab.spec.networks import SETTINGS
from sklab.spec.run import Experiment, RunSpec
from sklab.spec.values import RULE
from sklab.sweep.design.cells import NoSuchEntryError, NoSuchPlaceError, lay, resolve
from sklab.sweep.design.inferred import with_inferred
from sklab.sweep.design.paths import anchored, astray, data_set_of
from sklab.sweep.files.faults import Layer, details_of, distinct, explain, options, steps
from sklab.sweep.files.inputs import read_input
from sklab.sweep.files.yamltree import Document, Place, dotted, parse

COMMAND_LINE = "--set"  # the "file" of faults in what was given there
Known = Set[tuple[Place, str]]  # errors, by place and type

_NETWORK = ("model", "base")
_INIT = "model.init"
_RECIPE = {"epochs": 1, "batch_size": 4, "lr": 0.1}


@dataclass(frozen=True)
class Base:
    """An experiment. `tree` can be resolved when there are no `faults`; `known` are the errors that these report.

    unread          sections of a stand-in for an experiment that could not be read
    other_settings  the overrides, without those of places of the data, if they make other runs than the file alone;
                    a file of weights by the beginning of its SHA-256, wherever it lies
    """

    name: str
    tree: dict[str, Any]
    layers: tuple[Layer, ...]
    faults: tuple[Fault, ...]
    known: Known
    unread: Set[str] = frozenset()
    other_settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def data_set(self) -> object:
        """The name of the data set, as far as the file says."""
        return data_set_of(self.tree)

    def explains(self, detail: ErrorDetails) -> bool:
        """Whether the experiment causes, or may cause, this error of a cell."""
        place, kind = detail["loc"], detail["type"]
        return (place, kind) in self.known or place[:1] in {(section,) for section in self.unread}


# Stands in for an experiment that can't be read, so that the settings of the recipe in cells can still be checked.
STAND_IN = Base(
    name="",
    tree={
        "data": {"name": "stand_in", "num_classes": 1000},
        "model": SETTINGS["sknet50"],
        "train": _RECIPE,
    },
    layers=(),
    faults=(),
    known=frozenset(),
    unread=frozenset({"data", "model"}),
)


def read_experiment(file: Path, overrides: Mapping[str, str]) -> Base:
    """The experiment in `file` with the values of `overrides` (YAML text by dotted path) laid over it.

    Raises FaultyInputError for a file that can't be read at all; all other faults are in the Base.
    """
    document = read_input(file, "experiment")
    given, unread = _given(overrides)
    strayed = [document.fault(steps(path), message) for path, message in astray(document.tree, file.parent)]
    document, given = _anchored(document, given, file.parent)
    tree, unknown = _with_network(document, given)
    tree, layers, unlaid = _with_overrides(document, tree, given)
    tree, unknowable = _with_inferred(document, given, tree)
    faults = [*document.faults, *unread, *strayed, *unknown, *unlaid, *unknowable]
    wrong, known = _errors(tree, layers, {fault.place.partition(".")[0] for fault in faults})
    faults = distinct([*faults, *wrong])
    other = {} if faults or not overrides else _other_settings(document, given, overrides, tree)
    return Base(file.stem, tree, layers, tuple(faults), known, other_settings=other)


def _other_settings(
    document: Document, given: Sequence[Document], overrides: Mapping[str, str], tree: Mapping[str, Any]
) -> Mapping[str, str]:
    """The `overrides` that change a run's key; none if the file alone makes the same runs."""
    experiment = resolve(tree)
    uncounted = {f"data.{name}" for name in experiment.data.unkeyed}
    other = {path: text for path, text in overrides.items() if path not in uncounted}
    if _INIT in other and experiment.model.init:
        other[_INIT] = experiment.model.init.sha256[:8]
    rest = [override for override in given if dotted(override.prefix) not in other]
    alone, _, _ = _with_overrides(document, _with_network(document, rest)[0], rest)
    try:
        file_experiment = resolve(_with_inferred(document, rest, alone)[0])
    except ValidationError:  # the file alone is no experiment
        return other
    is_same = RunSpec(experiment=file_experiment, seed=0).key == RunSpec(experiment=experiment, seed=0).key
    return {} if is_same else other


def _anchored(document: Document, given: Sequence[Document], folder: Path) -> tuple[Document, list[Document]]:
    """The file and the overrides with absolute paths: those of the file start at its `folder`, those of the command
    line at the current one."""
    typed = {dotted(override.prefix): override.tree for override in given}
    absolute = anchored(typed, Path(), data_set_of(document.tree))
    changed = [replace(override, tree=absolute[dotted(override.prefix)]) for override in given]
    return replace(document, tree=anchored(document.tree, folder, typed.get("data.name"))), changed


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
    """The file's tree with the settings of the network that `model.base` names; the file's own settings go first."""
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


def _with_inferred(
    document: Document, given: Sequence[Document], tree: dict[str, Any]
) -> tuple[dict[str, Any], list[Fault]]:
    """The tree with what its data decide; with the fault of data that can't be read."""
    sections = (document.tree.get("model"), *_given_models(given))
    stated = {key for section in sections if isinstance(section, (dict, list)) for key in section}
    try:
        return with_inferred(tree, stated), []
    except SklabError as error:
        data = {"num_classes": 2, **tree["data"]}  # any number will do to check the rest
        fault = document.fault(("data", "num_classes"), str(error), allowed="a whole number")
        return with_inferred({**tree, "data": data}, stated), [fault]


def _given_models(given: Sequence[Document]) -> Iterator[Any]:
    """What the overrides state of the network, by key."""
    for override in given:
        if override.prefix[:1] == ("model",):
            yield [override.prefix[1]] if len(override.prefix) > 1 else override.tree


def _errors(tree: dict[str, Any], layers: Sequence[Layer], unsure: Set[str]) -> tuple[list[Fault], Known]:
    """The errors of the values. Broken rules are reported only for sections without other faults that are not
    `unsure`."""
    details = _details(tree)
    plain = [detail for detail in details if detail["type"] != RULE]
    unsure = unsure | {str(detail["loc"][0]) for detail in plain}
    broken = _broken(details, unsure)
    if unsure == {"train"}:  # a stand-in recipe lets data and model be compared
        broken += _broken(_details({**tree, "train": _RECIPE}), frozenset())
    known = {(detail["loc"], detail["type"]) for detail in details}
    return explain([*plain, *broken], Experiment, tree, layers), known


def _broken(details: Sequence[ErrorDetails], unsure: Set[str]) -> list[ErrorDetails]:
    """The broken rules of sections that are not `unsure`; those of the whole experiment where no section is."""
    return [
        detail
        for detail in details
        if detail["type"] == RULE and (str(detail["loc"][0]) not in unsure if detail["loc"] else not unsure)
    ]


def _details(tree: dict[str, Any]) -> list[ErrorDetails]:
    try:
        resolve(tree)
    except ValidationError as error:
        return details_of(error)
    return []
