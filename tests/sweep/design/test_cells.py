"""Designs: which cells there are, what they are called, and which runs they have."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sweepfiles import EXPERIMENT, SEARCH, load

from sklab.spec.networks import SETTINGS
from sklab.spec.study.sweep import Cell, Factor, InvalidCell, Sweep
from sklab.sweep.design.cells import (
    NoSuchEntryError,
    NoSuchPlaceError,
    choose,
    complete,
    grid,
    lay,
    ofat,
    resolve,
    run_spec,
    searched_cell,
)

TREE: dict[str, Any] = {**yaml.safe_load(EXPERIMENT), "model": SETTINGS["sknet_small"]}
LEVELS = {
    "G": ("model.branches.1.groups", ["1x", "2x", 3, 5]),
    "r": ("model.reduction", [1, 2, 16, 64]),
    "D": ("model.branches.1.dilation", [1, 2, 3]),
    "lr": ("train.lr", [0.1, 0.2]),
}


@st.composite
def factor_sets(draw: st.DrawFn) -> dict[str, Factor]:
    names = draw(st.lists(st.sampled_from(list(LEVELS)), min_size=1, max_size=3, unique=True))
    chosen = {name: draw(st.lists(st.sampled_from(LEVELS[name][1]), min_size=1, unique=True)) for name in names}
    return {name: Factor(path=LEVELS[name][0], levels={str(x): x for x in chosen[name]}) for name in names}


@settings(max_examples=30, deadline=None)
@given(factor_sets())
def test_a_grid_holds_every_combination_once(factors: dict[str, Factor]) -> None:
    cells = [complete(TREE, choose(factors, choice), [0, 1]) for choice in grid(factors)]
    assert len(cells) == prod(len(factor.levels) for factor in factors.values())
    assert len({cell.name for cell in cells}) == len(cells)
    for cell in cells:
        assert isinstance(cell, InvalidCell) == (cell.factors.get("G") in {"3", "5"})
    keys = [key for cell in cells if isinstance(cell, Cell) for key in cell.runs.values()]
    assert len(set(keys)) == len(keys)


@settings(max_examples=30, deadline=None)
@given(factor_sets(), st.data())
def test_one_factor_at_a_time_changes_one_factor_at_a_time(factors: dict[str, Factor], data: st.DataObject) -> None:
    baseline = {name: data.draw(st.sampled_from(list(factor.levels))) for name, factor in factors.items()}
    choices = list(ofat(factors, baseline))
    assert choices[0] == baseline
    assert len(choices) == 1 + sum(len(factor.levels) - 1 for factor in factors.values())
    assert all(sum(choice[name] != baseline[name] for name in factors) == 1 for choice in choices[1:])
    assert len({tuple(choice.items()) for choice in choices}) == len(choices)


def shuffled(node: Any, random: Any) -> Any:
    if isinstance(node, list):
        return [shuffled(part, random) for part in node]
    if not isinstance(node, dict):
        return node
    keys = list(node)
    random.shuffle(keys)
    return {key: shuffled(node[key], random) for key in keys}


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_change_a_run(random: Any) -> None:
    cell = Cell(name="x", settings={"model.branches.1": {"kernel": 5, "groups": "2x"}})
    other = Cell(name="y", settings={"model.branches.1": {"groups": "2x", "kernel": 5}})
    made, again = complete(TREE, cell, [3]), complete(shuffled(TREE, random), other, [3])
    assert isinstance(made, Cell)
    assert isinstance(again, Cell)
    assert made.runs == again.runs


def test_defaults_written_out_make_the_same_run() -> None:
    spelled = lay(TREE, {"train.momentum": 0.9, "model.branches.0.groups": 4, "train.augment.flip": False})
    assert resolve(spelled) == resolve(TREE)


def test_settings_are_laid_over_in_order_and_leave_the_tree_alone() -> None:
    before = yaml.safe_dump(TREE)
    laid = lay(TREE, {"model.branches": [{"kernel": 5}, {"kernel": 7}], "model.branches.1.kernel": 9, "train.x.y": 1})
    assert laid["model"]["branches"] == [{"kernel": 5}, {"kernel": 9}]
    assert laid["train"]["x"] == {"y": 1}
    assert yaml.safe_dump(TREE) == before


@pytest.mark.parametrize("path", ["model.branches.2.kernel", "model.depths.3", "model.branches." + "9" * 50])
def test_no_entry_there(path: str) -> None:
    with pytest.raises(NoSuchEntryError, match="no entry"):
        lay(TREE, {path: 1})
    cell = complete(TREE, Cell(name="x", settings={path: 1}), [0])
    assert isinstance(cell, InvalidCell)
    assert path in cell.reason


@pytest.mark.parametrize("path", ["model.branches.x", "model.branches.-1", "train.lr.x", "model.branches."])
def test_nothing_can_stand_there(path: str) -> None:
    with pytest.raises(NoSuchPlaceError, match="nothing called"):
        lay(TREE, {path: 1})


def test_a_value_that_is_not_well_formed_is_no_invalid_cell() -> None:
    with pytest.raises(ValidationError):
        complete(TREE, Cell(name="x", settings={"train.lr": "fast"}), [0])


@pytest.fixture
def search(tmp_path: Path) -> Sweep:
    return load(tmp_path, SEARCH)


def test_a_searched_cell_has_the_runs_of_its_levels(search: Sweep) -> None:
    cell = searched_cell(search, {"G": "1x", "r": "8"})
    assert isinstance(cell, Cell)
    assert cell.name == "r=8, G=1x"
    assert {seed: run_spec(search, cell, seed).key for seed in search.seeds} == cell.runs
    assert run_spec(search, cell, 4).experiment.model.reduction == 8
    assert searched_cell(search, {"r": "16", "G": "1x"}) == search.cells[0]


def test_a_searched_cell_may_be_invalid(search: Sweep) -> None:
    cell = searched_cell(search, {"G": "three", "r": "8"})
    assert isinstance(cell, InvalidCell)
    assert "does not divide" in cell.reason
    odd = search.model_copy(update={"factors": {"D": Factor(path="model.branches.1.dilation", levels={"x": "wide"})}})
    assert isinstance(searched_cell(odd, {"D": "x"}), InvalidCell)
