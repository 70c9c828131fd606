"""The cells of a design: the levels that each combines, and the experiment that follows from them. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, TypeVar

from pydantic import ValidationError

from sklab.spec.data import DataSpec
from sklab.spec.fit import why_impossible
from sklab.spec.model import ModelSpec
from sklab.spec.networks import SETTINGS
from sklab.spec.run import Experiment, RunSpec, training_of
from sklab.spec.study.sweep import Cell, Duplicate, Factor, InvalidCell, Sweep, vary_of
from sklab.spec.values import RULE

Tree = Mapping[str, Any]
C = TypeVar("C", bound=Cell)
Choice = Mapping[str, str]  # factor -> name of its level

NETWORK = "model.base"
KEPT = ("in_channels", "num_classes", "init")  # of the experiment's network when another takes its place


class _PathError(LookupError):
    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


class NoSuchEntryError(_PathError):
    """A setting is for an entry that its list does not have: a cell with such settings is invalid."""


class NoSuchPlaceError(_PathError):
    """The path of a setting leads into a plain value, or has a name where a list has only positions."""


def resolve(tree: Tree) -> Experiment:
    """The experiment that `tree` describes. Raises pydantic.ValidationError."""
    return Experiment.model_validate(tree)


def lay(tree: Tree, settings: Tree) -> Tree:
    """`tree` with the value at each dotted path of `settings` replaced, in their order. `tree` stays as it is.

    `model.base` replaces the whole network by the one of that name, except the keys in `KEPT`: what the data decide,
    and the weights to start from. Missing keys are added; unknown ones are reported when the tree is resolved. Raises
    NoSuchEntryError or NoSuchPlaceError for a path that leads nowhere.
    """
    for path, value in settings.items():
        named = path == NETWORK and isinstance(value, str) and value in SETTINGS
        tree = _with_network(tree, value) if named else _replaced(tree, path.split("."), value, path)
    return tree


def _with_network(tree: Tree, name: str) -> Tree:
    model = tree.get("model")
    own = model if isinstance(model, Mapping) else {}
    kept = {key: own.get(key, ModelSpec.model_fields[key].default) for key in KEPT if key in own or key != "init"}
    return {**tree, "model": {**SETTINGS[name], **kept}}


def _replaced(node: Any, steps: list[str], value: Any, path: str) -> Any:
    if not steps:
        return value
    head, *rest = steps
    if isinstance(node, Mapping) or node is None:
        return {**(node or {}), head: _replaced((node or {}).get(head), rest, value, path)}
    if not isinstance(node, (list, tuple)) or not head.isdecimal():
        raise NoSuchPlaceError(path, f"there is nothing called {head!r} to set")
    at = int(head) if len(head) < 9 else len(node)
    if at >= len(node):
        raise NoSuchEntryError(path, f"there is no entry {head} (counted from 0) in a list of {len(node)}")
    return [*node[:at], _replaced(node[at], rest, value, path), *node[at + 1 :]]


def grid(factors: Mapping[str, Factor]) -> Iterator[Choice]:
    """Every combination of levels, the last factor running fastest."""
    for levels in product(*(factor.levels for factor in factors.values())):
        yield dict(zip(factors, levels, strict=True))


def ofat(factors: Mapping[str, Factor], baseline: Choice) -> Iterator[Choice]:
    """The baseline, then each other level of each factor with all else as in the baseline."""
    yield baseline
    for name, factor in factors.items():
        for level in factor.levels:
            if level != baseline[name]:
                yield {**baseline, name: level}


def choose(factors: Mapping[str, Factor], choice: Choice) -> Cell:
    """The cell with these levels, named by them ("M=2, r=16"). It has no runs yet."""
    settings = {factor.path: factor.levels[choice[name]] for name, factor in factors.items()}
    levels = {name: choice[name] for name in factors}
    name = ", ".join(f"{factor}={level}" for factor, level in levels.items())
    return Cell(name=name, factors=levels, settings=settings)


def left_out(cell: Cell, full: Choice) -> Cell:
    """`cell` named after the factors in which it differs from the full model ("without attention")."""
    missing = [name for name, level in cell.factors.items() if level != full[name]]
    return cell.model_copy(update={"name": f"without {', '.join(missing)}" if missing else "full model"})


def complete(tree: Tree, cell: Cell, seeds: Iterable[int]) -> Cell | InvalidCell:
    """`cell` with a run for every seed; an InvalidCell with the reason if it breaks a rule or can't be trained.

    Raises pydantic.ValidationError or NoSuchPlaceError when its settings are not well-formed.
    """
    try:
        experiment = resolve(lay(tree, cell.settings))
    except NoSuchEntryError as error:
        return _invalid(cell, str(error))
    except ValidationError as error:
        broken = error.errors(include_url=False)
        if any(detail["type"] != RULE for detail in broken):
            raise
        return _invalid(cell, "; ".join(detail["msg"] for detail in broken))
    if why := why_impossible(experiment):
        return _invalid(cell, why)
    if experiment.train.vary != vary_of(tree):
        return _invalid(cell, "train.vary is set for all cells, by the key vary")
    runs = {seed: RunSpec(experiment=experiment, seed=seed).key for seed in seeds}
    return cell.model_copy(update={"runs": runs})


def with_seeds(tree: Tree, cell: C, seeds: Iterable[int]) -> C:
    """`cell`, which is complete, with a run for each of further `seeds` too."""
    whole = complete(tree, cell, [*cell.runs, *seeds])
    assert isinstance(whole, Cell), "its settings broke no rule before"
    return cell.model_copy(update={"runs": whole.runs})


def searched_cell(sweep: Sweep, choice: Choice) -> Cell | InvalidCell:
    """A cell that a search proposes; an InvalidCell if its levels don't fit together."""
    cell = choose(sweep.factors, choice)
    try:
        return complete(sweep.experiment, cell, sweep.seeds)
    except (ValidationError, NoSuchPlaceError) as error:
        return _invalid(cell, " ".join(str(error).split()))


def run_spec(sweep: Sweep, cell: Cell, seed: int) -> RunSpec:
    """The run of `cell` at `seed`: the sweep's experiment with the cell's settings laid over it."""
    return RunSpec(experiment=resolve(lay(sweep.experiment, cell.settings)), seed=seed)


def splits(sweep: Sweep, data: DataSpec) -> list[DataSpec]:
    """`data` with each of the splits that the sweep's seeds draw; as it stands where they draw none."""
    return [data.split_anew(number) for number in sweep.splits] or [data]


def training(tree: Tree, cell: Cell) -> str:
    """A text that is the same for cells with the same training (`training_of`)."""
    return training_of(resolve(lay(tree, cell.settings)))


def without_duplicates(
    tree: Tree, cells: Sequence[Cell], baseline: str = ""
) -> tuple[tuple[Cell, ...], tuple[Duplicate, ...]]:
    """`cells` with each training once, and the duplicates. A training stays as the first cell that has it, or as the
    baseline."""
    trainings = {cell.name: training(tree, cell) for cell in cells}
    first: dict[str, str] = {}
    for cell in sorted(cells, key=lambda cell: cell.name != baseline):
        first.setdefault(trainings[cell.name], cell.name)
    names = {cell.name: first[trainings[cell.name]] for cell in cells}
    others = (cell for cell in cells if names[cell.name] != cell.name)
    duplicates = (
        Duplicate(name=cell.name, factors=cell.factors, settings=cell.settings, same_as=names[cell.name])
        for cell in others
    )
    return tuple(cell for cell in cells if names[cell.name] == cell.name), tuple(duplicates)


def _invalid(cell: Cell, reason: str) -> InvalidCell:
    return InvalidCell(name=cell.name, factors=cell.factors, reason=reason)
