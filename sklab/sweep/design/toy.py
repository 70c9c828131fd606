"""Any sweep at toy size: it goes from the file to the table in minutes and without its data.

Data and length of training are replaced; networks, cells, baseline and published figures are those of the sweep. The
replaced settings are kept in `data.stands_for`. Settings of cells that would change them are moved there, so that cells
which differ in nothing else stay different runs.
"""

from __future__ import annotations

from typing import Any

from sklab.analysis.evidence.nuisance import judging_seeds
from sklab.spec.data import DataSpec
from sklab.spec.names import study_with_ending
from sklab.spec.run import Experiment
from sklab.spec.study.sweep import Cell, Factor, Sweep
from sklab.sweep.design.cells import complete, lay, resolve

_SEEDS, _TRIALS = 2, 3
_EXCHANGED = (
    "data",
    "train.epochs",
    "train.batch_size",
    "train.accumulate",
    "train.warmup_epochs",
    "train.augment.random_resized_crop",
    "train.devices",
)


def toy(sweep: Sweep, seeds: int | None = None) -> Sweep:
    """`sweep` as a study of its own on a stand-in data set, for one epoch of two steps, with `seeds` seeds (default: at
    most two).

    Images have a quarter of their side. A search asks for at most three cells.
    """
    full, tuning = resolve(sweep.experiment), sweep.nuisance.tuning_seeds if sweep.nuisance else ()
    shared = [seed for seed in judging_seeds(sweep) if seed not in sweep.baseline_seeds]
    small = sweep.model_copy(
        update={
            "study": study_with_ending(sweep.study, "-toy"),
            "question": f"TOY RUN, its numbers mean nothing. {sweep.question}".strip(),
            "experiment": dict(lay(sweep.experiment, _exchange(sweep.experiment, full))),
            "seeds": (*tuning, *shared[: seeds or _SEEDS * (sweep.vary.block if sweep.vary else 1)]),
            "baseline_seeds": (),
            "replicates": None,
            "sizes": tuple(dict.fromkeys(_quarter(size) for size in sweep.sizes)),
            "factors": {
                name: Factor(path=_moved(factor.path), levels=factor.levels) for name, factor in sweep.factors.items()
            },
            "search": sweep.search and sweep.search.model_copy(update={"trials": min(sweep.search.trials, _TRIALS)}),
        }
    )
    cells = tuple(_cell(sweep, small, cell, full.data) for cell in sweep.cells)
    duplicates = tuple(cell.model_copy(update={"settings": _settings(cell)}) for cell in sweep.duplicates)
    return small.model_copy(update={"cells": cells, "duplicates": duplicates})


def _exchange(tree: dict[str, Any], full: Experiment) -> dict[str, Any]:
    """The settings that replace the experiment's own, by path."""
    data = {key: value for key, value in tree["data"].items() if key not in full.data.places}  # in no key
    stands_for = {"data": data, "train": tree["train"]}
    test = {"test": "noise"} if full.data.has_test else {}
    return {
        "data": {"name": "stand_in", **_shape(full.data), "stands_for": stands_for, **test},
        "data.image_size": _quarter(full.data.image_size),
        "train.epochs": 1,
        "train.batch_size": 4,
        "train.accumulate": 1,
        "train.warmup_epochs": min(0.5, full.train.warmup_epochs),
        "train.augment.random_resized_crop": None,  # is for image files
        "train.devices": 1,
    }


def _quarter(size: int) -> int:
    return max(8, size // 4)


def _shape(data: DataSpec) -> dict[str, int]:
    return {"num_classes": data.num_classes, "channels": data.channels}


def _moved(path: str) -> str:
    """`path`; its place in `data.stands_for` if the setting was replaced."""
    touches = (f"{path}.".startswith(f"{other}.") or f"{other}.".startswith(f"{path}.") for other in _EXCHANGED)
    return f"data.stands_for.{path}" if any(touches) else path


def _settings(cell: Cell) -> dict[str, Any]:
    return {_moved(path): value for path, value in cell.settings.items()}


def _cell(sweep: Sweep, small: Sweep, cell: Cell, usual: DataSpec) -> Cell:
    """`cell` as a cell of `small`, with classes and channels of its own where its data have others."""
    data = resolve(lay(sweep.experiment, cell.settings)).data
    other = {f"data.{name}": value for name, value in _shape(data).items() if value != getattr(usual, name)}
    settings = {**_settings(cell), **other}
    made = complete(small.experiment, cell.model_copy(update={"settings": settings}), small.seeds)
    assert isinstance(made, Cell), "a toy breaks no rule that the sweep does not"
    return made
