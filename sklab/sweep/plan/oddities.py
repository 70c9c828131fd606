"""What of a sweep can be run but is hardly meant: told before it starts, and never in its way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from math import prod

from sklab.spec.fit import odd
from sklab.spec.run import Experiment
from sklab.spec.study.sweep import Sweep

_MOST_NAMED = 4  # cells in a line


def oddities(sweep: Sweep, experiments: Mapping[str, Experiment]) -> tuple[str, ...]:
    """A line for each; `experiments` by cell."""
    cells: dict[str, list[str]] = {}
    for name, experiment in experiments.items():
        for told in odd(experiment):
            cells.setdefault(told, []).append(name)
    whole = len(experiments)
    lines = (told if len(names) == whole else f"{_some(names)}: {told}" for told, names in cells.items())
    return tuple(chain(lines, _of_search(sweep, experiments)))


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more cells" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _of_search(sweep: Sweep, experiments: Mapping[str, Experiment]) -> Iterator[str]:
    """What its space or its lengths of training leave no room for."""
    search = sweep.search
    if search is None:
        return
    others = prod(len(factor.levels) for factor in sweep.factors.values()) - 1
    if search.trials > others:
        yield f"search.trials = {search.trials}, but there are {others} cells besides the baseline"
    pruning, epochs = search.pruning, experiments[sweep.baseline].train.epochs
    if pruning and pruning.start >= epochs:
        yield f"search.pruning.start = {pruning.start}: nothing is pruned before train.epochs = {epochs}"
    if pruning and pruning.rule == "median" and pruning.peers > search.trials:
        yield f"search.pruning.peers = {pruning.peers}: nothing is pruned, search.trials = {search.trials} are too few"
