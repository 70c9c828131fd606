"""A fault hides no other: whatever else is wrong, each is told."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sweepfiles import EXPERIMENT, LIST, SEARCH, SWEEPS, faults_in, write

from sklab.sweep.files.load import load_sweep

# A fault is planted by changing the trees of the sweep and of its experiment.
Plant = Callable[[dict[str, Any], dict[str, Any]], None]


def put(*place: Any, value: Any) -> Plant:
    """In the sweep, `value` at `place`."""

    def plant(sweep: dict[str, Any], _: dict[str, Any]) -> None:
        node: Any = sweep
        for step in place[:-1]:
            node = node[step]
        node[place[-1]] = value

    return plant


def drop(*place: Any) -> Plant:
    def plant(sweep: dict[str, Any], _: dict[str, Any]) -> None:
        node: Any = sweep
        for step in place[:-1]:
            node = node[step]
        del node[place[-1]]

    return plant


def in_experiment(section: str, key: str, value: Any) -> Plant:
    def plant(_: dict[str, Any], experiment: dict[str, Any]) -> None:
        experiment[section][key] = value

    return plant


# By place, a fault of every key. Those of one key can't be planted together, those of different ones can.
ANYWHERE: dict[str, Plant] = {
    "study": put("study", value="../evil"),
    "question": put("question", value=3),
    "design": put("design", value="gird"),
    "seeds": put("seeds", value=0),
    "metric.epoch": put("metric", value={"epoch": "lats"}),
    "sizes.1": put("sizes", value=[32, 0]),
    "columns.1": put("columns", value=["X", "X"]),
    "published.tolerance": put("published", value={"source": "s", "data": "d", "rows": {}, "tolerance": 0}),
    "equal_budget.macs": put("equal_budget", value={"macs": 5}),
    "colums": put("colums", value=[]),
    "train.epohcs": in_experiment("train", "epohcs", 3),
    "data.seed": in_experiment("data", "seed", -1),
    "model.width": in_experiment("model", "width", "wide"),
}
LISTED: dict[str, Plant] = {
    **ANYWHERE,
    "baseline": put("baseline", value={"X": 1}),
    "cells.0.set.train.lr": put("cells", 0, "set", "train.lr", value="fast"),
    "cells.1.sett": put("cells", 1, "sett", value={}),
    "cells.2": put("cells", 2, value=3),
    "cells.3.name": put("cells", 3, "name", value=3),
    "cells.4.set.train.augment.flipp": put("cells", 4, "set", "train.augment.flipp", value=True),
}
CHOSEN: dict[str, Plant] = {
    **ANYWHERE,
    "baseline.r": put("baseline", "r", value=15),
    "baseline.g": put("baseline", "g", value=1),
    "factors.lr.levels.1": put("factors", "lr", "levels", 1, value="fast"),
    "factors.M.levels": put("factors", "M", "levels", value=None),
    "factors.D.pth": put("factors", "D", "pth", value=1),
    "factors.e.path": put("factors", "e", "path", value=3),
    "factors.w": put("factors", "w", value="train.warmup_epochs"),
}
SEARCHED: dict[str, Plant] = {
    **CHOSEN,
    "search.sampler": put("search", "sampler", value="tpee"),
    "search.trials": drop("search", "trials"),
    "search.pruning.rule": put("search", "pruning", value={"rule": "mean"}),
}
CELL = {"name": "X", "factors": {"X": 1}, "set": {}}
MORE_CELLS = [
    {**CELL, "name": name, "set": {"train.momentum": 0.1 * at}} for at, name in enumerate(["X1", "X2", "X3", "X4"])
]
MORE_FACTORS = {
    "X": {"path": "train.momentum", "levels": [0.1, 0.2]},
    "lr": {"path": "train.lr", "levels": [0.1, 0.2]},
    "M": {"path": "train.mixup", "levels": [0.1, 0.2]},
    "D": {"path": "train.weight_decay", "levels": [0.1, 0.2]},
    "e": {"path": "train.ema_decay", "levels": [0.1, 0.2]},
    "w": {"path": "train.warmup_epochs", "levels": [0.1, 0.2]},
}
SOUND: dict[str, dict[str, Any]] = {
    "list": {**yaml.safe_load(LIST), "baseline": "X", "cells": [CELL, *MORE_CELLS]},
    "ofat": yaml.safe_load(SWEEPS["ofat"]),
    "search": yaml.safe_load(SEARCH),
}
for name in ("ofat", "search"):
    SOUND[name]["factors"] = {"r": SOUND[name]["factors"]["r"], **MORE_FACTORS}
    SOUND[name]["baseline"] = {"r": 16, **{factor: of["levels"][0] for factor, of in MORE_FACTORS.items()}}
PLANTS = {"list": LISTED, "ofat": CHOSEN, "search": SEARCHED}


def told(folder: Path, design: str, planted: tuple[str, ...]) -> set[str]:
    """The places of the faults of a sweep and its experiment in which these are planted."""
    sweep, experiment = copy.deepcopy(SOUND[design]), yaml.safe_load(EXPERIMENT)
    for place in planted:
        PLANTS[design][place](sweep, experiment)
    file = write(folder, yaml.safe_dump(sweep, sort_keys=False), yaml.safe_dump(experiment, sort_keys=False))
    return set(faults_in(lambda: load_sweep(file)))


@pytest.mark.parametrize("design", SOUND)
def test_what_the_faults_are_planted_in_is_sound(tmp_path: Path, design: str) -> None:
    load_sweep(write(tmp_path, yaml.safe_dump(SOUND[design], sort_keys=False)))


@pytest.mark.parametrize("design", PLANTS)
def test_of_two_faults_both_are_told_and_nothing_else(tmp_path: Path, design: str) -> None:
    """Each key's fault together with the fault of every other."""
    pairs = itertools.combinations(PLANTS[design], 2)
    wrong = {pair: found for pair in pairs if (found := told(tmp_path, design, pair)) != set(pair)}
    assert not wrong


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_of_any_number_of_faults_every_one_is_told(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    design = data.draw(st.sampled_from(list(PLANTS)))
    planted = tuple(data.draw(st.sets(st.sampled_from(list(PLANTS[design])), min_size=1)))
    assert told(tmp_path_factory.mktemp("planted"), design, planted) == set(planted)


def test_all_rules_that_an_experiment_breaks_are_told(tmp_path: Path) -> None:
    wrong = {"nesterov": True, "momentum": 0.0, "warmup_epochs": 9.0, "devices": 5}
    tree = yaml.safe_load(EXPERIMENT)
    tree = {**tree, "train": {**tree["train"], **wrong}, "model": {**tree["model"], "width": 30, "cardinality": 7}}
    faults = faults_in(lambda: load_sweep(write(tmp_path, LIST, yaml.safe_dump(tree))))
    told = str(faults["train"])
    assert all(rule in told for rule in ("nesterov needs", "leaves nothing of epochs", "can't be shared by devices"))
    assert "does not divide C = 30" in str(faults["model"])


@pytest.mark.parametrize(("model", "place"), [({"width": 30}, "model"), ({"num_classes": 11, "in_channels": 3}, "")])
def test_a_broken_rule_is_told_beside_a_fault_elsewhere(tmp_path: Path, model: dict[str, int], place: str) -> None:
    tree = yaml.safe_load(EXPERIMENT)
    tree = {**tree, "model": {**tree["model"], **model}, "train": {**tree["train"], "epohcs": 3}}
    faults = faults_in(lambda: load_sweep(write(tmp_path, LIST, yaml.safe_dump(tree))))
    assert set(faults) == {"train.epohcs", place}
    assert all(name in str(faults[place]) for name in model if not place)


@pytest.mark.parametrize("gone", ["experiment", "file", "broken"])
def test_what_cells_set_of_the_recipe_is_checked_without_an_experiment(tmp_path: Path, gone: str) -> None:
    cells = [*yaml.safe_load(LIST)["cells"], {"name": "x", "set": {"train.epochs": 0, "model.depths": 3}}]
    sweep = {**yaml.safe_load(LIST), "cells": cells, "design": "lits"}
    if gone == "experiment":
        sweep.pop("experiment")
    file = write(tmp_path, yaml.safe_dump(sweep), "a: [" if gone == "broken" else EXPERIMENT)
    if gone == "file":
        (tmp_path / "base.yaml").unlink()
    assert set(faults_in(lambda: load_sweep(file))) == {
        "design", "cells.2.set.train.epochs", "" if gone == "broken" else "experiment"
    }  # fmt: skip


def test_a_sweep_that_is_no_yaml_hides_nothing_of_the_command_line(tmp_path: Path) -> None:
    file, other = write(tmp_path, "a: ["), tmp_path / "other.yaml"
    other.write_text(EXPERIMENT.replace("epochs: 6", "epochs: 0"))
    faults = faults_in(lambda: load_sweep(file, experiment=other, seeds=0, overrides={"train.x": "1"}))
    assert set(faults) == {"", "train.epochs", "train.x", "--seeds"}
