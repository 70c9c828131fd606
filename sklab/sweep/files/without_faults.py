"""A sweep file without what is faulty in it: all that the rest is still checked by, so that no fault hides another."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sklab.errors import Fault
from sklab.sweep.files.faults import Layer, details_of, explain
from sklab.sweep.files.sweepfile import SweepFile, nameless_levels, plain_tree
from sklab.sweep.files.yamltree import Document, Place, value_at

Tree = dict[str, Any]

_HOLD_FACTORS = (("factors",), ("cells",))


@dataclass(frozen=True)
class Sound:
    """A sweep file without its faults: `sweep` has harmless values where it needs some; `unsure` are the places of
    the faulty entries, which are cut out."""

    sweep: SweepFile
    unsure: frozenset[Place] = frozenset()

    def knows(self, *place: str | int) -> bool:
        """Whether nothing is faulty at `place`, in it or around it."""
        return not any(all(ours == cut for ours, cut in zip(place, each, strict=False)) for each in self.unsure)

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
        """Whether the cells are listed one by one; None where neither the design nor the other keys tell."""
        if self.knows("design"):
            return self.sweep.design == "list"
        if bool(self.sweep.cells) == bool(self.sweep.factors):
            return None
        return bool(self.sweep.cells)


def read_sweep_file(document: Document) -> tuple[Sound, list[Fault]]:
    """The sound keys of the file, and its faults."""
    tree, faults = plain_tree(document), [*document.faults, *nameless_levels(document)]
    try:
        return Sound(SweepFile.model_validate(tree)), faults
    except ValidationError as error:
        return _sound(tree, error), [*faults, *explain(details_of(error), SweepFile, tree, [Layer(document)])]


def _sound(tree: Mapping[str, Any], error: ValidationError) -> Sound:
    """The sound part of `tree`, which `error` keeps from being a SweepFile."""
    left, unsure = copy.deepcopy(dict(tree)), set[Place]()
    while True:
        for detail in error.errors(include_url=False):
            unsure.add(_cut(left, detail))
        try:
            return Sound(SweepFile.model_validate(left), frozenset(unsure))
        except ValidationError as further:
            error = further


def _cut(tree: Tree, detail: ErrorDetails) -> Place:
    """Take what is faulty out of `tree`, or put a harmless value in its place; the place of what is gone."""
    place = _within(tree, detail["loc"], is_missing=detail["type"] == "missing")
    *way, last = place
    owner = value_at(tree, tuple(way))
    harmless = _harmless(tree, place)
    if harmless is not None:
        owner[last] = harmless
    elif isinstance(owner, dict):
        owner.pop(last, None)  # a key whose value has several faults is gone with the first
    return place


def _is_cell(place: Place) -> bool:
    return place[0] == "cells" and len(place) == 2


def _factor(place: Place) -> Iterator[str]:
    """The name of the factor that `place` lies in."""
    match place:
        case ("factors", name, *_) | ("cells", _, "factors", name, *_):
            yield str(name)


def _within(tree: Tree, place: Place, *, is_missing: bool) -> Place:
    """The part of `place` to cut: not a position in a list, but for cells, and not what is only said to be missing."""
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
            return [0]
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
