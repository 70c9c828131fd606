"""With `vary`, each source of chance has a seed of its own, and what is not named is the same in all runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attempts import FULL, PLAIN, assert_same, attempt, outcome

from sklab.data.loaders import TrainArrays, open_loaders
from sklab.models.weights import start
from sklab.spec.study.vary import SOURCES
from sklab.store.records import RunOrder
from sklab.store.run_folder import RunFolder
from sklab.training import fit
from sklab.training.callbacks.meter import Meter

Make = Callable[..., RunOrder]
CPU = torch.device("cpu")
NUMBERS = 6  # of an outcome, before the content of files that hold the key
STILL = {"lr": 1e-30, "momentum": 0.0, "weight_decay": 0.0}  # weights stay as they are initialised


def trained(order: RunOrder, folder: Path) -> Any:
    run = RunFolder(folder)
    run.write_order(order)
    record = attempt(order, run)
    assert record.status == "complete", record.reason
    return outcome(run, record)


def initial_weights(make: Make, vary: object, seed: int, folder: Path) -> list[Any]:
    order = make(seed=seed, train={**PLAIN, **STILL, "epochs": 1, "vary": vary})
    weights, _ = trained(order, folder)
    return [weights[name].tolist() for name in sorted(weights) if name.endswith("weight")]


def drawn(make: Make, vary: object, seed: int) -> dict[str, Any]:
    """The order of the images, their shifts and flips, and the images themselves."""
    order = make(seed=seed, train={**PLAIN, "vary": vary}).experiment
    loaders = open_loaders(order.data, order.train, seed, CPU)
    assert isinstance(loaders.train, TrainArrays)
    draws = loaders.train.draws(1)
    images = torch.cat([images for images, _ in loaders.val])
    return {
        "order": draws.order.tolist(),
        "augment": (draws.shifts.tolist(), draws.flips.tolist()),
        "split": (images.tolist(), loaders.val_labels.tolist()),
    }


@pytest.mark.parametrize("source", SOURCES)
def test_only_what_is_named_differs_between_two_seeds(toy_order: Make, tmp_path: Path, source: str) -> None:
    first, second = (
        {"init": initial_weights(toy_order, [source], seed, tmp_path / str(seed)), **drawn(toy_order, [source], seed)}
        for seed in (0, 1)
    )
    assert [name for name in SOURCES if first[name] != second[name]] == [source]


@pytest.mark.parametrize("source", SOURCES)
def test_each_source_by_itself_changes_what_is_trained(toy_order: Make, tmp_path: Path, source: str) -> None:
    runs = [
        trained(toy_order(seed=seed, train={**PLAIN, "vary": [source]}), tmp_path / f"{number}")
        for number, seed in enumerate((0, 1, 0))
    ]
    assert_same(runs[0], runs[2])
    assert any(not torch.equal(runs[0][0][name], runs[1][0][name]) for name in runs[0][0])


@pytest.mark.parametrize("recipe", [PLAIN, FULL], ids=["plain", "full"])
def test_all_but_the_split_together_are_the_seed_as_it_ever_was(
    toy_order: Make, tmp_path: Path, recipe: dict[str, Any]
) -> None:
    together = ["init", "order", "augment"]
    (weights, numbers), (ours, others) = (
        trained(toy_order(seed=3, train={**recipe, "vary": vary}), tmp_path / str(bool(vary)))
        for vary in (None, together)
    )
    assert all(torch.equal(weights[name], ours[name]) for name in weights)
    assert numbers[:NUMBERS] == others[:NUMBERS]


@pytest.mark.parametrize("mixing", ["mixup", "cutmix"])
def test_mixing_goes_with_augmentation(toy_order: Make, tmp_path: Path, mixing: str) -> None:
    recipe = {"epochs": 1, mixing: 0.3}
    runs = [
        trained(toy_order(seed=seed, train={**recipe, "vary": ["augment"]}), tmp_path / f"{seed}") for seed in (0, 1)
    ]
    assert any(not torch.equal(runs[0][0][name], runs[1][0][name]) for name in runs[0][0])


def test_dropout_goes_with_augmentation_not_with_initial_weights(
    toy_order: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = start.build
    monkeypatch.setattr(start, "build", lambda model: torch.nn.Sequential(torch.nn.Dropout(0.5), build(model)))
    states = {}
    for source in ("init", "order", "augment"):
        for seed in (0, 1):
            order = toy_order(seed=seed, train={**PLAIN, "vary": [source]})
            fit._new_network(order, CPU, Meter(tmp_path / "metrics.csv"))
            states[source, seed] = torch.rand(8).tolist()
    assert states["init", 0] == states["init", 1] == states["order", 0] == states["order", 1]
    assert states["augment", 0] != states["augment", 1]


def test_a_split_drawn_anew_shares_no_source_image_between_training_and_validation(toy_order: Make) -> None:
    sources = []
    for seed in (0, 1):
        order = toy_order(seed=seed, train={"vary": ["split"]}).experiment
        loaders = open_loaders(order.data, order.train, seed, CPU)
        sources.append(np.unique(loaders.val_extras["source"]))
    assert sources[0].tolist() != sources[1].tolist()
