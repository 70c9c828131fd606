"""The valid part of a sweep file. The rest of the checks work on it, so that no fault hides another."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sklab.errors import Fault, SklabError
from sklab.sweep.design.inferred import with_inferred_data
from sklab.sweep.design.paths import anchored, astray
from sklab.sweep.files.faults import Layer, details_of, explain
from sklab.sweep.files.sweepfile import SweepFile, nameless_levels, plain_tree
from sklab.sweep.files.yamltree import Document, Place, value_at

Tree = dict[str, Any]

_HOLD_FACTORS = (("factors",), ("cells",))


@dataclass(frozen=True)
class ValidPart:
    """A sweep file without its faulty entries. `unsure` are the places of these; where `sweep` can't do without an
    entry, it has a harmless value."""

    sweep: SweepFile
    unsure: frozenset[Place] = frozenset()

    def knows(self, *place: str | int) -> bool:
        """Whether nothing is faulty at `place`, in it or around it."""
        return not any(all(a == b for a, b in zip(place, cut, strict=False)) for cut in self.unsure)

    @property
    def factors(self) -> tuple[str, ...]:
        """The factors of the file or of its cells, by name, those with a fault included."""
        faulty = [name for cut in self.unsure for name in _factor(cut)]
        return tuple(dict.fromkeys((*self.sweep.columns_at_hand, *faulty)))

    @property
    def knows_factors(self) -> bool:
        """Whether there can be no other factors than `factors`."""
        return not any(cut in _HOLD_FACTORS or _is_cell(cut) or cut[2:] == ("factors",) for cut in self.unsure)

    @property
    def knows_cells(self) -> bool:
        """Whether no cell of a list is without its name."""
        return not any(cut == ("cells",) or _is_cell(cut) or cut[2:] == ("name",) for cut in self.unsure)

    @property
    def is_list(self) -> bool | None:
        """Whether the cells are listed one by one; None where neither `design` nor the other keys say so."""
        if self.knows("design"):
            return self.sweep.design == "list"
        if bool(self.sweep.cells) == bool(self.sweep.factors):
            return None
        return bool(self.sweep.cells)


def read_sweep_file(document: Document) -> tuple[ValidPart, list[Fault]]:
    """The valid part of the file, and its faults."""
    tree, faults = plain_tree(document), [*document.faults, *nameless_levels(document)]
    try:
        return ValidPart(SweepFile.model_validate(tree)), faults
    except ValidationError as error:
        return _valid_part(tree, error), [*faults, *explain(details_of(error), SweepFile, tree, _layers(document))]


def settled(document: Document, valid: ValidPart, data: object) -> tuple[ValidPart, list[Fault]]:
    """`valid` with the paths in cells, levels and nuisance values made absolute, relative ones starting at the file's
    folder; and whole data sets there with what their files decide. The faults are paths that hold only from the current
    folder, and data that can't be read. `data` is the experiment's set."""
    sweep, settler = valid.sweep, _Settler(document, data)
    update = {
        "cells": tuple(
            cell.model_copy(update={"set": settler.settings(("cells", at, "set"), cell.set)})
            for at, cell in enumerate(sweep.cells)
        ),
        "factors": {
            name: factor.model_copy(
                update={"levels": settler.levels(("factors", name, "levels"), factor.path, factor.levels)}
            )
            for name, factor in sweep.factors.items()
        },
        "nuisance": {path: settler.levels(("nuisance", path), path, values) for path, values in sweep.nuisance.items()},
    }
    return replace(valid, sweep=sweep.model_copy(update=update)), settler.faults


class _Settler:
    """Settles values of a sweep file that replace others in its experiment, and keeps their faults."""

    def __init__(self, document: Document, data: object) -> None:
        self._document, self._data, self._folder = document, data, Path(document.file).parent
        self.faults: list[Fault] = []

    def settings(self, place: Place, settings: Tree) -> Tree:
        """The values at `place`, by dotted path."""
        return {path: self._value((*place, path), {path: value}) for path, value in settings.items()}

    def levels(self, place: Place, path: str, levels: Tree) -> Tree:
        """The levels at `place`, a list or a mapping of what is set at `path`."""
        listed = isinstance(value_at(self._document.tree, place), list)
        return {
            name: self._value((*place, at if listed else name), {path: level})
            for at, (name, level) in enumerate(levels.items())
        }

    def _value(self, place: Place, setting: Tree) -> Any:
        strayed = astray(setting, self._folder, self._data)
        self.faults += [self._document.fault(place, message) for _, message in strayed]
        (value,) = anchored(setting, self._folder, self._data).values()
        try:
            return with_inferred_data(value) if "data" in setting else value
        except SklabError as error:
            self.faults.append(self._document.fault(place, str(error), found=""))
            return value


def _layers(document: Document) -> list[Layer]:
    """The file, in which seeds may stand without the mapping that they are brought into."""
    short = [] if isinstance(document.tree.get("seeds"), dict) else [Layer(document, ("seeds", "others"), ("seeds",))]
    return [Layer(document), *short]


def _valid_part(tree: Mapping[str, Any], error: ValidationError) -> ValidPart:
    """The part of `tree` that is valid; `error` says why the whole is no SweepFile."""
    rest, unsure = copy.deepcopy(dict(tree)), set[Place]()
    while True:
        for detail in error.errors(include_url=False):
            unsure.add(_cut(rest, detail))
        try:
            return ValidPart(SweepFile.model_validate(rest), frozenset(unsure))
        except ValidationError as further:
            error = further


def _cut(tree: Tree, detail: ErrorDetails) -> Place:
    """Remove the faulty entry from `tree` or replace it by a harmless value. Returns its place."""
    place = _within(tree, detail["loc"], is_missing=detail["type"] == "missing")
    *way, last = place
    owner = value_at(tree, tuple(way))
    harmless = _harmless(tree, place)
    if harmless is not None:
        owner[last] = harmless
    elif isinstance(owner, dict):
        owner.pop(last, None)  # at the second fault of one value the key is gone already
    return place


def _is_cell(place: Place) -> bool:
    return place[0] == "cells" and len(place) == 2


def _factor(place: Place) -> Iterator[str]:
    """The name of the factor that `place` lies in."""
    match place:
        case ("factors", name, *_) | ("cells", _, "factors", name, *_):
            yield str(name)


def _within(tree: Tree, place: Place, *, is_missing: bool) -> Place:
    """The place to cut: `place` or the nearest one around it that can be cut. Of lists only `cells` loses entries, and
    a key that is missing can't be cut."""
    if place[:1] == ("cells",) and len(place) > 1 and not isinstance(_entry(tree, place[:2]), dict):
        return place[:2]
    if _harmless(tree, place) is not None and isinstance(_entry(tree, place[:-1]), dict):
        return place
    while len(place) > 1 and (is_missing or not isinstance(_entry(tree, place[:-1]), dict)):
        place, is_missing = place[:-1], False
    return place


def _entry(tree: Tree, place: Place) -> Any:
    try:
        return value_at(tree, place)
    except (LookupError, TypeError):
        return None


def _harmless(tree: Tree, place: Place) -> Any:
    """A harmless value for a key that a sweep needs; None where the key can be left out."""
    match place:
        case ("experiment",):
            return ""
        case ("design",):
            return "list" if "cells" in tree and "factors" not in tree else "ofat"
        case ("seeds",):
            return {"others": [0]}
        case ("baseline",):
            return ""
        case ("search", "trials"):
            return 1
        case ("factors", _, "path"):
            return ""
        case ("cells", at):
            return {"name": f"cells.{at}"}
        case ("cells", at, "name"):
            return f"cells.{at}"
    return None
