"""The nuisance settings of a sweep file: their faults, and the cells that try them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from sklab.errors import Fault
from sklab.spec.study.nuisance import (
    FIRST_SEED,
    MOST_SETTINGS,
    Nuisance,
    Setting,
    grid_of,
    is_of_tuning,
    named,
    number_of,
    tuning_seeds,
)
from sklab.spec.study.sweep import Cell, Factor, InvalidCell, Sweep
from sklab.spec.train import TrainSpec
from sklab.sweep.design.cells import NoSuchPlaceError, lay, with_seeds
from sklab.sweep.files.cells import Draft, Made, level_layer, make
from sklab.sweep.files.consistency import covers, settings_of
from sklab.sweep.files.experimentfile import COMMAND_LINE, Base
from sklab.sweep.files.faults import steps
from sklab.sweep.files.sweepfile import SweepFile
from sklab.sweep.files.valid_part import ValidPart
from sklab.sweep.files.yamltree import Document, Place, dotted

_RECIPE = "train"


def nuisance_faults(document: Document, valid: ValidPart, overrides: Mapping[str, str]) -> Iterator[Fault]:
    """The faults between nuisance settings and the other keys of the file, or the command line."""
    place, tree = ("nuisance",), document.tree
    if "nuisance" not in tree:
        if "tuning_seeds" in tree:
            yield document.fault(("tuning_seeds",), "needs the key nuisance")
        return
    if tree.get("design") == "search":
        yield document.fault(place, "not used by design: search, which may vary it as a factor", found="")
    if "replicates" in tree:
        yield document.fault(place, "not used with replicates", allowed="seeds", found="")
    if number_of(valid.sweep.nuisance) > MOST_SETTINGS:
        found = str(number_of(valid.sweep.nuisance))
        yield document.fault(place, "too many settings for each cell", found=found, allowed=f"at most {MOST_SETTINGS}")
    for path in valid.sweep.nuisance:
        yield from _misplaced(document, valid, overrides, path)
    if any(map(is_of_tuning, valid.sweep.seeds.others)):
        allowed = f"below {FIRST_SEED}: settings are tuned on the seeds from there on"
        yield document.fault(("seeds",), "too large where settings are tuned", allowed=allowed)


def _misplaced(document: Document, valid: ValidPart, overrides: Mapping[str, str], path: str) -> Iterator[Fault]:
    """The faults of a path that is no part of the recipe, or that something else sets too."""
    place: Place = ("nuisance", path)
    if steps(path)[:1] != (_RECIPE,) or path == _RECIPE:
        yield document.fault(place, "is no setting of the recipe", found=path, allowed=f"a path such as {_RECIPE}.lr")
    if path in valid.factors:
        yield document.fault(place, "is the name of a factor", found=path)
    for where in (at for settings in settings_of(valid) for other, at in settings if _touch(other, steps(path))):
        yield document.fault(place, f"is set at {dotted(where)} too; a cell can't both vary and tune it", found=path)
    for other in valid.sweep.nuisance:
        if other != path and covers(steps(other), steps(path)):
            yield document.fault(place, f"lies in {other}, which is tuned too", found=path)
    for given in overrides:
        if _touch(steps(given), steps(path)) and not covers(steps(given), (_RECIPE,)):
            yield Fault(COMMAND_LINE, given, f"{document.file} tunes this, at {dotted(place)}")


def _touch(one: Place, other: Place) -> bool:
    return covers(one, other) or covers(other, one)


def common_setting(document: Document, written: SweepFile, base: Base) -> tuple[dict[str, str], list[Fault]]:
    """The value of each nuisance path that is the experiment's own; and the faults of values that stand twice, or leave
    out that one."""
    common: dict[str, str] = {}
    faults: list[Fault] = []
    own = _recipe(base.tree, {})
    for path, values in written.nuisance.items() if own else ():
        recipes = {name: recipe for name, value in values.items() if (recipe := _recipe(base.tree, {path: value}))}
        for name in (name for name, recipe in recipes.items() if recipe == own):
            common[path] = name
        if len(set(recipes.values())) < len(recipes):
            faults.append(document.fault(("nuisance", path), "a value stands twice"))
        elif path not in common and len(recipes) == len(values):
            message = "leaves out the experiment's own value, at which all cells are compared too"
            faults.append(document.fault(("nuisance", path), message, allowed=f"values with {_value_at(own, path)}"))
    return common, faults


def _recipe(tree: Mapping[str, Any], settings: Mapping[str, Any]) -> TrainSpec | None:
    """The recipe with `settings`; None where they are faulty, which the cells that try them report."""
    try:
        return TrainSpec.model_validate(lay(tree, settings).get(_RECIPE))
    except (ValidationError, NoSuchPlaceError):
        return None


def _value_at(recipe: TrainSpec | None, path: str) -> Any:
    value: Any = recipe
    for step in path.split(".")[1:]:
        value = getattr(value, step, None)
    return value


def tried_cells(
    document: Document, written: SweepFile, base: Base, made: Sequence[tuple[Draft, Made]]
) -> tuple[list[Cell], list[Fault]]:
    """Every cell at every setting, each with a run for every seed, of tuning and of judging; and the faults of settings
    that a cell can't have."""
    if not written.nuisance or number_of(written.nuisance) > MOST_SETTINGS:
        return [], []
    possible = [draft for draft, cell in made if isinstance(cell, Cell)]
    drafts = [_tried(document, written, draft, setting) for draft in possible for setting in grid_of(written.nuisance)]
    tried, faults = make(base, drafts, (*tuning_seeds(written.tuning_seeds), *written.seeds.others))
    for draft, cell in tried:
        if isinstance(cell, InvalidCell):
            faults.append(document.fault(draft.place, f"{cell.name} can't be trained: {cell.reason}", found=""))
    return [cell for _, cell in tried if isinstance(cell, Cell)], faults


def _tried(document: Document, written: SweepFile, draft: Draft, setting: Setting) -> Draft:
    values = {path: written.nuisance[path][name] for path, name in setting.items()}
    layers = [
        level_layer(document, path, ("nuisance", path), ("nuisance", path), name) for path, name in setting.items()
    ]
    cell = draft.cell.model_copy(
        update={
            "name": f"{draft.cell.name}, {named(setting)}",
            "factors": {**draft.cell.factors, **setting},
            "settings": {**draft.cell.settings, **values},
        }
    )
    return Draft(cell, (*draft.layers, *layers), ("nuisance",), ("nuisance",))


def with_tried_cells(sweep: Sweep, written: SweepFile, common: dict[str, str], tried: Sequence[Cell]) -> Sweep:
    """`sweep` with every cell at every nuisance setting in place of the cell itself."""
    if not written.nuisance:
        return sweep
    nuisance = Nuisance(settings=written.nuisance, seeds=written.tuning_seeds, common=common)
    names = {nuisance.name(cell.name, setting) for cell in sweep.cells for setting in nuisance.grid()}
    factors = {path: Factor(path=path, levels=values) for path, values in nuisance.settings.items()}
    crossed = sweep.model_copy(
        update={
            "nuisance": nuisance,
            "seeds": (*nuisance.tuning_seeds, *sweep.seeds),
            "baseline": nuisance.name(sweep.baseline, common),
            "factors": {**sweep.factors, **factors} if sweep.factors else {},
        }
    )
    cells = (cell for cell in tried if cell.name in names)
    return crossed.model_copy(update={"cells": tuple(_with_seeds_of_baseline(crossed, cell) for cell in cells)})


def _with_seeds_of_baseline(sweep: Sweep, cell: Cell) -> Cell:
    return with_seeds(sweep.experiment, cell, sweep.baseline_seeds) if sweep.is_of_baseline(cell) else cell
