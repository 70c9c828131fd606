"""The space of a search, known before anything is trained: its cells, those that keep the constraints, and those that
earlier starts have found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from math import prod
from random import Random

from sklab.errors import SklabError
from sklab.spec.names import canonical, find
from sklab.spec.run import Experiment
from sklab.spec.study.search import Cost
from sklab.spec.study.sweep import Cell, InvalidCell, Sweep
from sklab.spec.values import Value
from sklab.sweep.design.cells import Choice, choose, grid, run_spec, searched_cell, training, without_duplicates

Costs = Mapping[str, Cost]  # by the name of a cell
NO_COSTS: Costs = {}


class Space(Value):
    """The number of cells that a search can choose from, the baseline included: all combinations of levels, those
    that can exist, and those that keep the constraints as well."""

    combinations: int
    valid: int
    feasible: int


def searchable(sweep: Sweep) -> Iterator[Cell]:
    """Every cell that a search may ask for, constraints aside; none for another design."""
    if sweep.search is None:
        return
    for choice in grid(sweep.factors):
        cell = searched_cell(sweep, choice)
        if isinstance(cell, Cell):
            yield cell


def choices_by_lot(sweep: Sweep, number_found: int) -> Iterator[Choice]:
    """Every combination of levels in order, starting at a random one, which the search's seed and the number of cells
    found so far decide."""
    levels = {name: list(factor.levels) for name, factor in sweep.factors.items()}
    number = _combinations(sweep)
    seed = sweep.search.seed if sweep.search else 0
    first = Random(f"{seed} {number_found}").randrange(number)  # noqa: S311 - no secret
    for at in chain(range(first, number), range(first)):
        choice, rest = {}, at
        for name, of_factor in levels.items():
            rest, level = divmod(rest, len(of_factor))
            choice[name] = of_factor[level]
        yield choice


def space_costs(sweep: Sweep, count: Callable[[list[Experiment]], Sequence[tuple[int, int]]]) -> Costs:
    """The costs of each cell of the space, where the search needs them before training; else empty.

    `count` gives parameters and multiply-accumulates of experiments; it gets each distinct network once.
    Raises SklabError when no cell keeps the constraints.
    """
    if sweep.search is None or not sweep.search.needs_costs:
        return NO_COSTS
    experiments = {cell.name: run_spec(sweep, cell, sweep.seeds[0]).experiment for cell in searchable(sweep)}
    networks = {name: _network(experiment) for name, experiment in experiments.items()}
    distinct = {networks[name]: experiment for name, experiment in experiments.items()}
    counts = dict(zip(distinct, count(list(distinct.values())), strict=True))
    costs = {name: Cost(params=counts[key][0], macs=counts[key][1]) for name, key in networks.items()}
    _ensure_feasible(sweep, costs)
    return costs


def space_of(sweep: Sweep, costs: Costs) -> Space | None:
    """The size of the space of a search with constraints; None where nothing limits it."""
    if sweep.search is None or sweep.search.constraints is None:
        return None
    feasible = sum(not infeasible(sweep, name, costs) for name in costs)
    return Space(combinations=_combinations(sweep), valid=len(costs), feasible=feasible)


def infeasible(sweep: Sweep, name: str, costs: Costs) -> str:
    """The constraints that the cell of this name breaks, so that it may not be trained; "" if it may."""
    limits = sweep.search.constraints if sweep.search else None
    return limits.broken(costs[name]) if limits and name in costs else ""


def asked_for(sweep: Sweep, costs: Costs = NO_COSTS) -> int:
    """The number of cells that a search will still ask for; with `costs`, at most as many as its space has left."""
    if sweep.search is None:
        return 0
    number_found = sum(cell.name != sweep.baseline for cell in sweep.cells)
    wanted = max(0, sweep.search.trials - number_found)
    return _left_in_space(sweep, costs, wanted) if costs else wanted


def _left_in_space(sweep: Sweep, costs: Costs, most: int) -> int:
    """The number of networks in the space, up to `most`, that keep the constraints and are not in the study yet."""
    known = {training(sweep.experiment, cell) for cell in sweep.cells}
    remaining: set[str] = set()
    for cell in searchable(sweep):
        if len(remaining) == most:
            break
        if not infeasible(sweep, cell.name, costs):
            remaining |= {training(sweep.experiment, cell)} - known
    return len(remaining)


def _combinations(sweep: Sweep) -> int:
    return prod(len(factor.levels) for factor in sweep.factors.values())


def _network(experiment: Experiment) -> str:
    return f"{experiment.data.image_size} {experiment.model.model_dump_json()}"


def _ensure_feasible(sweep: Sweep, costs: Costs) -> None:
    others = [name for name in costs if name != sweep.baseline]
    if others and all(infeasible(sweep, name, costs) for name in others):
        nearest = min(others, key=lambda name: max(_excess(sweep, costs[name])))
        raise SklabError(
            f"no cell of the search space keeps search.constraints; nothing was trained. The nearest is {nearest}: "
            f"{infeasible(sweep, nearest, costs)}"
        )


def _excess(sweep: Sweep, cost: Cost) -> list[float]:
    limits = sweep.search.constraints if sweep.search else None
    return list(limits.excess(cost).values()) if limits else [0.0]


def with_found_cells(sweep: Sweep, before: Sweep, costs: Costs) -> Sweep:
    """The search `sweep` with the cells that it found `before`, if they are in its space; cells that can't be trained
    become invalid ones. Earlier versions could find a network again under other levels."""
    known = {cell.name for cell in sweep.cells}
    refused = {canonical(cell.name) for cell in before.invalid}
    chosen = [cell.factors for cells in (before.cells, before.duplicates, before.invalid) for cell in cells]
    again = [
        _cell_or_reason(sweep, levels, costs)
        for levels in map(partial(_as_in_space, sweep), chosen)
        if levels and choose(sweep.factors, levels).name not in known
    ]
    known_cells = [cell for cell in again if isinstance(cell, Cell) and canonical(cell.name) not in refused]
    cells, duplicates = without_duplicates(sweep.experiment, [*sweep.cells, *known_cells], sweep.baseline)
    invalid = (*sweep.invalid, *(cell for cell in again if isinstance(cell, InvalidCell)))
    return sweep.model_copy(update={"cells": cells, "duplicates": duplicates, "invalid": invalid})


def _cell_or_reason(sweep: Sweep, levels: Mapping[str, str], costs: Costs) -> Cell | InvalidCell:
    cell = searched_cell(sweep, levels)
    why = infeasible(sweep, cell.name, costs)
    return InvalidCell(name=cell.name, factors=cell.factors, reason=why) if why else cell


def _as_in_space(sweep: Sweep, levels: Mapping[str, str]) -> dict[str, str]:
    """The levels by their present names; empty if one of them is no longer in the space."""
    now = {name: find(levels.get(name, ""), factor.levels) for name, factor in sweep.factors.items()}
    known = {name: level for name, level in now.items() if level is not None}
    return known if len(known) == len(now) else {}
