"""Whether every cell differs from the baseline in what it declares and in nothing else, by the resolved settings.

A cell of factors declares the paths of those factors whose levels are not the baseline's; a listed one the paths
that it or the baseline sets. `model.base` and `data.name` replace all of the model and of the data.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from sklab.spec.run import Experiment
from sklab.spec.study.sweep import Cell, Sweep
from sklab.spec.values import Seq, Value, leaves

_REPLACING = {"model.base": "model", "data.name": "data"}

Leaves = Mapping[str, Any]


class Difference(Value):
    """A setting in which a cell's resolved experiment differs from the baseline's. None: it has no such setting.

    declared  whether a factor of the cell, or a setting of a listed cell, sets it
    """

    path: str
    baseline: Any
    here: Any
    declared: bool


def differences(sweep: Sweep, experiments: Mapping[str, Experiment]) -> dict[str, Seq[Difference]]:
    """The differences of each cell from the baseline, in the order of the paths."""
    usual = settings_by_path(experiments[sweep.baseline])
    return {
        cell.name: tuple(_differences(sweep, cell, usual, settings_by_path(experiments[cell.name])))
        for cell in sweep.cells
    }


def confounds(
    sweep: Sweep, experiments: Mapping[str, Experiment], differing: Mapping[str, Seq[Difference]]
) -> Seq[str]:
    """The reasons why a cell's difference can't be read as the effect of its factors, a line each."""
    reasons = chain(_undeclared(differing), _same_levels(sweep, experiments), _without_effect(sweep, differing))
    return tuple(chain(reasons, _mixed(sweep, experiments)))


def settings_by_path(experiment: Experiment) -> dict[str, Any]:
    """The plain values of a resolved experiment by their dotted paths."""
    return dict(leaves(experiment.model_dump(mode="json"), lists=True))


def _differences(sweep: Sweep, cell: Cell, usual: Leaves, own: Leaves) -> Iterator[Difference]:
    declared = _declared(sweep, cell)
    for path in sorted({*usual, *own}):
        before, here = usual.get(path), own.get(path)
        if before != here:
            yield Difference(path=path, baseline=before, here=here, declared=_covering(path, declared) is not None)


def _declared(sweep: Sweep, cell: Cell) -> set[str]:
    baseline = _baseline(sweep)
    if not sweep.factors:
        return {*cell.settings, *baseline.settings}
    return {sweep.factors[name].path for name in _other_levels(cell, baseline) if name in sweep.factors}


def _other_levels(cell: Cell, baseline: Cell) -> list[str]:
    names = dict.fromkeys((*cell.factors, *baseline.factors))
    return [name for name in names if cell.factors.get(name) != baseline.factors.get(name)]


def _covering(path: str, declared: Iterable[str]) -> str | None:
    """The declared path that `path` lies under."""
    return next((prefix for prefix in declared if f"{path}.".startswith(f"{_REPLACING.get(prefix, prefix)}.")), None)


def _baseline(sweep: Sweep) -> Cell:
    return next(cell for cell in sweep.cells if cell.name == sweep.baseline)


def _undeclared(differing: Mapping[str, Seq[Difference]]) -> Iterator[str]:
    for name, of_cell in differing.items():
        if odd := [difference for difference in of_cell if not difference.declared]:
            paths = _some(difference.path for difference in odd)
            yield f"{name} differs from the baseline in {paths}, which it does not declare"


def _same_levels(sweep: Sweep, experiments: Mapping[str, Experiment]) -> Iterator[str]:
    """Cells that the table's columns can't tell apart."""
    if not any(cell.factors for cell in sweep.cells):
        return
    first: dict[str, Cell] = {}
    for cell in sweep.cells:
        other = first.setdefault(json.dumps(cell.factors, sort_keys=True), cell)
        if other is not cell:
            own, others = settings_by_path(experiments[cell.name]), settings_by_path(experiments[other.name])
            odd = (path for path in sorted({*own, *others}) if own.get(path) != others.get(path))
            yield f"{other.name} and {cell.name} have the same factors but differ in {_some(odd)}"


def _without_effect(sweep: Sweep, differing: Mapping[str, Seq[Difference]]) -> Iterator[str]:
    """Factors whose level has another name than the baseline's but the same settings."""
    baseline = _baseline(sweep)
    for cell in sweep.cells if sweep.factors else ():
        for name in _other_levels(cell, baseline):
            path = [sweep.factors[name].path]
            if not any(_covering(difference.path, path) for difference in differing[cell.name]):
                yield f"{cell.name}: {name} = {cell.factors[name]} changes nothing of the baseline"


def _mixed(sweep: Sweep, experiments: Mapping[str, Experiment]) -> Iterator[str]:
    """Settings of listed cells that the columns do not explain, as one level stands for several values.

    A column explains the settings that it determines alone. Columns that determine nothing alone, or only a part of
    what is set at the same path, may determine a setting together, such as one column for each kernel of a network.
    """
    names = _columns(sweep)
    if sweep.factors or not names:
        return
    values = {cell.name: settings_by_path(experiments[cell.name]) for cell in sweep.cells}
    declared = dict.fromkeys(path for cell in sweep.cells for path in cell.settings)
    deciding = {path: [name for name in names if _decide(sweep, [name], path, values)] for path in _varying(values)}
    for path in dict.fromkeys(_mixed_paths(sweep, values, deciding, declared)):
        yield f"{path}: a level of a factor ({', '.join(names)}) stands for different settings in different cells"


def _columns(sweep: Sweep) -> list[str]:
    return list(dict.fromkeys(name for cell in sweep.cells for name in cell.factors))


def _mixed_paths(
    sweep: Sweep, values: Mapping[str, Leaves], deciding: Mapping[str, list[str]], declared: Iterable[str]
) -> Iterator[str]:
    """`deciding`: for each setting, the columns that determine it alone. `declared`: the paths that cells set."""
    wide = {path: _covering(path, declared) or path for path in deciding}
    for path, alone in deciding.items():
        elsewhere = {name for other, names in deciding.items() if wide[other] != wide[path] for name in names}
        together = [name for name in _columns(sweep) if name not in elsewhere]
        if not alone and not _decide(sweep, together, path, values):
            yield wide[path]


def _varying(values: Mapping[str, Leaves]) -> list[str]:
    texts: dict[str, set[str]] = defaultdict(set)
    paths = sorted(set(chain(*values.values())))
    for settings in values.values():
        for path in paths:
            texts[path].add(json.dumps(settings.get(path)))
    return [path for path in paths if len(texts[path]) > 1]


def _decide(sweep: Sweep, names: Sequence[str], path: str, values: Mapping[str, Leaves]) -> bool:
    """Whether the value at `path` is the same wherever these factors have the same levels."""
    seen: dict[tuple[str, ...], Any] = {}
    for cell in sweep.cells:
        here = values[cell.name].get(path)
        if seen.setdefault(tuple(cell.factors.get(name, "") for name in names), here) != here:
            return False
    return True


def _some(paths: Iterable[str]) -> str:
    listed = list(paths)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more places" if len(listed) > 3 else "")
