"""The cells that earlier starts of a search have found."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from sklab.spec.names import canonical, find
from sklab.spec.study.sweep import Cell, InvalidCell, Sweep
from sklab.sweep.design.cells import choose, searched_cell
from sklab.sweep.design.space import Costs, infeasible


def with_found_cells(sweep: Sweep, before: Sweep, costs: Costs) -> Sweep:
    """The search `sweep` and the cells that it found `before`, as far as they are cells of its space; those that can't
    be trained stand among the invalid ones."""
    known = {cell.name for cell in sweep.cells}
    refused = {canonical(cell.name) for cell in before.invalid}
    found = [*(cell.factors for cell in before.cells), *(cell.factors for cell in before.invalid)]
    again = [
        _judged(sweep, levels, costs)
        for levels in map(partial(_as_in_space, sweep), found)
        if levels and choose(sweep.factors, levels).name not in known
    ]
    cells = (cell for cell in again if isinstance(cell, Cell) and canonical(cell.name) not in refused)
    invalid = (cell for cell in again if isinstance(cell, InvalidCell))
    return sweep.model_copy(update={"cells": (*sweep.cells, *cells), "invalid": (*sweep.invalid, *invalid)})


def _judged(sweep: Sweep, levels: Mapping[str, str], costs: Costs) -> Cell | InvalidCell:
    cell = searched_cell(sweep, levels)
    why = infeasible(sweep, cell.name, costs)
    return InvalidCell(name=cell.name, factors=cell.factors, reason=why) if why else cell


def _as_in_space(sweep: Sweep, levels: Mapping[str, str]) -> dict[str, str]:
    """The levels as they are called now; empty when the space has one of them no more."""
    now = {name: find(levels.get(name, ""), factor.levels) for name, factor in sweep.factors.items()}
    known = {name: level for name, level in now.items() if level is not None}
    return known if len(known) == len(now) else {}
