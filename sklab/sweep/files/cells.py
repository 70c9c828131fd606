"""The cells that a sweep file asks for, with the places of their settings in it, and the checks of these cells."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from sklab.errors import Fault
from sklab.spec.run import Experiment
from sklab.spec.study.sweep import Cell, InvalidCell
from sklab.spec.values import RULE
from sklab.sweep.design.cells import Choice, NoSuchPlaceError, choose, complete, grid, lay, left_out, ofat, resolve
from sklab.sweep.design.fraction import fractional
from sklab.sweep.files.consistency import is_too_large, is_too_small
from sklab.sweep.files.experimentfile import Base
from sklab.sweep.files.faults import Layer, details_of, explain, steps
from sklab.sweep.files.sweepfile import ListedCell, SweepFile
from sklab.sweep.files.valid_part import ValidPart
from sklab.sweep.files.yamltree import Document, Place, value_at

Made = Cell | InvalidCell

_ROOT = "data.root"  # the folder of a data set that has one


@dataclass(frozen=True)
class Draft:
    """A cell that is not checked yet, with its place in the file, the place of its name and those of its settings
    (`layers`)."""

    cell: Cell
    layers: tuple[Layer, ...]
    place: Place
    name_place: Place


def draft_cells(document: Document, valid: ValidPart) -> list[Draft]:
    """The cells of the design. For a search: the baseline and all cells one level away from it, so that
    every level is checked once."""
    listed = [_listed(document, at, cell) for at, cell in enumerate(valid.sweep.cells)]
    paths = {name: ("factors", name, "path") for name in valid.sweep.factors}
    factors = {name: valid.sweep.factors[name] for name, place in paths.items() if valid.knows(*place)}
    if not factors:
        return listed
    sweep = valid.sweep.model_copy(update={"factors": factors})
    return [*listed, *(_chosen(document, sweep, choice) for choice in _choices(sweep))]


def _choices(sweep: SweepFile) -> Iterator[Choice]:
    if sweep.design == "grid" and not is_too_large(sweep):
        return grid(sweep.factors)
    if sweep.design == "fractional" and sweep.fraction and not is_too_small(sweep):
        return fractional(sweep.factors, start_of(sweep), sweep.fraction)
    return ofat(sweep.factors, start_of(sweep))


def chosen_cell(sweep: SweepFile, choice: Choice) -> Cell:
    """The cell with these levels, named as its design names cells. It has no runs yet."""
    cell = choose(sweep.factors, choice)
    return left_out(cell, start_of(sweep)) if sweep.design == "leave_one_out" else cell


def start_of(sweep: SweepFile) -> Choice:
    """The baseline's level of every factor; the first level where the file gives none."""
    named = sweep.baseline if isinstance(sweep.baseline, dict) else {}
    levels = {name: list(factor.levels) for name, factor in sweep.factors.items()}
    return {name: named[name] if named.get(name) in levels[name] else levels[name][0] for name in levels}


def make(base: Base, drafts: Iterable[Draft], seeds: Sequence[int]) -> tuple[list[tuple[Draft, Made]], list[Fault]]:
    """The drafts whose settings are well-formed, each with its runs or with the rule that it breaks; and the faults of
    the other drafts."""
    made: list[tuple[Draft, Made]] = []
    faults: list[Fault] = []
    for draft in drafts:
        try:
            made.append((draft, complete(base.tree, draft.cell, seeds)))
        except NoSuchPlaceError as error:
            faults += _leads_nowhere(base, draft, error)
        except ValidationError as error:
            faults += _unfit(base, draft, error)
    return made, faults


def _unfit(base: Base, draft: Draft, error: ValidationError) -> list[Fault]:
    """The faults of the draft's own values. A broken rule is reported only once the values are right."""
    own = (detail for detail in details_of(error) if not base.explains(detail))
    plain = (detail for detail in own if detail["type"] != RULE)
    return explain(plain, Experiment, lay(base.tree, draft.cell.settings), (*base.layers, *draft.layers))


def same_names(document: Document, drafts: Iterable[Draft]) -> Iterator[Fault]:
    """A fault for each cell that has the name of an earlier one."""
    names: set[str] = set()
    for draft in drafts:
        if draft.cell.name in names:
            yield document.fault(draft.name_place, "two cells have this name", found=draft.cell.name)
        names.add(draft.cell.name)


def same_runs(document: Document, base: Base, made: Iterable[tuple[Draft, Made]]) -> Iterator[Fault]:
    """A fault for each cell with the same settings as an earlier one and another name."""
    names: dict[str, str] = {}
    for draft, cell in made:
        if isinstance(cell, InvalidCell):
            continue
        written = _as_written(base, cell)
        if written in names:
            message = f"{cell.name} and {names[written]} are the same run"
            moved = _ROOT in draft.cell.settings
            why = f"; where images lie, {_ROOT}, tells no run from another: compare two studies" if moved else ""
            yield document.fault(draft.place, f"{message}{why}", found="")
        names[written] = cell.name


def _as_written(base: Base, cell: Cell) -> str:
    """The settings of the cell's experiment as the files have them, without those that don't change a run's key."""
    tree = lay(base.tree, cell.settings)
    silent = resolve(tree).data.unkeyed
    data = {key: value for key, value in tree["data"].items() if key not in silent}
    return json.dumps({**tree, "data": data}, sort_keys=True, default=str)


def _listed(document: Document, at: int, cell: ListedCell) -> Draft:
    place: Place = ("cells", at)
    named = [(steps(path), (*place, "set", path)) for path in cell.set]
    layers = tuple(Layer(document, path, stands, stands) for path, stands in named)
    return Draft(Cell(name=cell.name, factors=cell.factors, settings=cell.set), layers, place, (*place, "name"))


def _chosen(document: Document, sweep: SweepFile, choice: Choice) -> Draft:
    layers = tuple(_layer(document, sweep, name, level) for name, level in choice.items())
    return Draft(chosen_cell(sweep, choice), layers, ("factors",), ("factors",))


def _layer(document: Document, sweep: SweepFile, name: str, level: str) -> Layer:
    return level_layer(
        document, sweep.factors[name].path, ("factors", name, "levels"), ("factors", name, "path"), level
    )


def level_layer(document: Document, path: str, levels: Place, named_at: Place, level: str) -> Layer:
    """The layer of one of the `levels`, a list or a mapping at that place, of what is set at `path`."""
    written = value_at(document.tree, levels)
    names = [document.text((*levels, at)) for at in range(len(written))] if isinstance(written, list) else []
    key = names.index(level) if names else level
    return Layer(document, steps(path), (*levels, key), named_at)


def _leads_nowhere(base: Base, draft: Draft, error: NoSuchPlaceError) -> Iterator[Fault]:
    """The fault of a path that leads into a plain value; none where the experiment has faults, a likely cause."""
    if not base.faults:
        layer = next(layer for layer in draft.layers if layer.path == steps(error.path))
        yield layer.document.fault(layer.named_at, error.reason)
