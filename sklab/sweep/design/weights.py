"""What a resolved sweep holds of files: the checksums of trained weights, the hash of own code; and which cells start
from which weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from sklab.spec.own.parts import (
    OwnData,
    OwnModel,
    OwnSetting,
    find_augmentation,
    find_data,
    find_model,
    find_optimizer,
)
from sklab.spec.run import Experiment
from sklab.spec.start.weights import Weights
from sklab.spec.study.metrics import own_metrics
from sklab.spec.study.sweep import Sweep


def pinned(sweep: Sweep) -> Sweep:
    """`sweep` with the checksum of each file of weights beside its path, and with the hash and all settings of own code
    beside its name: in the experiment, in the settings of cells, and in the levels of factors. A sweep that is resolved
    needs no such file to be understood."""
    cells = {
        kind: tuple(cell.model_copy(update={"settings": _pinned(cell.settings)}) for cell in getattr(sweep, kind))
        for kind in ("cells", "duplicates")
    }
    factors = {
        name: factor.model_copy(
            update={"levels": {level: _value(factor.path, value) for level, value in factor.levels.items()}}
        )
        for name, factor in sweep.factors.items()
    }
    of_sweep = {"experiment": _pinned(sweep.experiment), "own_metrics": own_metrics(sweep.further_metrics)}
    return sweep.model_copy(update={**cells, "factors": factors, **of_sweep})


def _pinned(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted path, or the tree of an experiment, which are alike in this."""
    return {path: _value(path, value) for path, value in settings.items()}


def _value(path: str, value: Any) -> Any:
    if path == "model.init" and isinstance(value, str):
        return Weights.model_validate(value).model_dump()
    if isinstance(value, Mapping):
        value = {name: _value(f"{path}.{name}", inner) for name, inner in value.items()}
    with suppress(ValueError):  # of a cell that can't exist
        found = _MAY_BE_OWN.get(path, _as_it_is)(value)
        return found.model_dump(mode="json") if isinstance(found, OwnModel | OwnData | OwnSetting) else value
    return value


def _as_it_is(value: Any) -> Any:
    return value


_MAY_BE_OWN: Mapping[str, Callable[[Any], Any]] = {
    "model": find_model,
    "data": find_data,
    "train.optimizer": find_optimizer,
    "train.augment.own": find_augmentation,
}


def starts(experiments: Mapping[str, Experiment]) -> dict[str, tuple[str, ...]]:
    """The cells by the trained weights that they start from, "" for fresh ones; nothing where all are fresh."""
    cells: dict[str, tuple[str, ...]] = {}
    for name, experiment in experiments.items():
        cells[experiment.model.start] = (*cells.get(experiment.model.start, ()), name)
    return cells if any(cells) else {}
