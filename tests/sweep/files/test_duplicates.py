"""Cells of which the same network is built are one cell; the others are told as its duplicates."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sweepfiles import GRID, LIST, changed, faults_of, load

from sklab.spec.study.sweep import Sweep
from sklab.sweep.design.cells import complete, training
from sklab.sweep.files.load import load_sweep

ROOT = Path(__file__).parents[3]
CELLS = yaml.safe_load(LIST)["cells"]


def same(sweep: Sweep) -> dict[str, str]:
    return {cell.name: cell.same_as for cell in sweep.duplicates}


def listed(tmp_path: Path, *cells: dict[str, Any], **changes: Any) -> Sweep:
    named = [{"name": name, "set": of_cell} for name, of_cell in zip("abcdef", cells, strict=False)]
    return load(tmp_path, changed(LIST, cells=named, baseline="a", **changes))


def test_reduction_has_twelve_cells_and_five_networks() -> None:
    sweep = load_sweep(ROOT / "sweeps" / "reduction.yaml")
    assert [cell.name for cell in sweep.cells] == ["r=2, L=4", "r=4, L=4", "r=8, L=4", "r=16, L=4", "r=16, L=32"]
    assert same(sweep) == {
        **{f"r={r}, L=32": "r=16, L=32" for r in (2, 4, 8, 32, 64)},  # the baseline, although it is not the first
        **{f"r={r}, L=4": "r=16, L=4" for r in (32, 64)},
    }
    assert all(cell.runs == {} for cell in sweep.duplicates)


LEVELS = {
    "r": ("model.reduction", [1, 2, 16, 64]),
    "L": ("model.min_dim", [1, 8, 64]),
    "A": ("model.attention", ["none", "sk"]),
    "G": ("model.cardinality", [2, 4]),
    "lr": ("train.lr", [0.1, 0.2]),
}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_every_network_is_one_cell_with_the_keys_that_it_has_always_had(tmp_path: Path, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(LEVELS)), min_size=1, max_size=3, unique=True))
    chosen = {name: data.draw(st.lists(st.sampled_from(LEVELS[name][1]), min_size=1, unique=True)) for name in names}
    factors = {name: {"path": LEVELS[name][0], "levels": levels} for name, levels in chosen.items()}
    baseline = {name: data.draw(st.sampled_from(levels)) for name, levels in chosen.items()}
    sweep = load(tmp_path, changed(GRID, factors=factors, baseline=baseline))
    of = {cell.name: training(sweep.experiment, cell) for cell in (*sweep.cells, *sweep.duplicates)}
    assert len(of) == prod(map(len, chosen.values()))
    assert len({of[cell.name] for cell in sweep.cells}) == len(sweep.cells)
    assert all(of[cell.name] == of[cell.same_as] for cell in sweep.duplicates)
    assert sweep.baseline in {cell.name for cell in sweep.cells}
    assert all(complete(sweep.experiment, cell, sweep.seeds) == cell for cell in sweep.cells)


def test_groups_that_come_to_one_number_are_one_cell(tmp_path: Path) -> None:
    stated, multiple = {"model.branches.1.groups": 8}, {"model.branches.1.groups": "2x"}
    assert same(listed(tmp_path, stated, multiple)) == {"b": "a"}
    assert same(listed(tmp_path, multiple, stated)) == {"b": "a"}


def test_another_recipe_or_other_data_are_another_training(tmp_path: Path) -> None:
    sweep = listed(tmp_path, {}, {"train.lr": 0.2}, {"data.train_size": 70}, {"model.attention": "none"})
    assert same(sweep) == {}
    lr = {"train.lr": 0.2, "model.attention": "none"}
    sweep = listed(tmp_path, {"train.lr": 0.2}, lr, {**lr, "model.reduction": 2}, {"model.attention": "none"})
    assert same(sweep) == {"c": "b"}


def test_cells_that_are_written_alike_stay_a_fault(tmp_path: Path) -> None:
    assert "are the same run" in str(faults_of(tmp_path, changed(LIST, cells=[*CELLS, {**CELLS[1], "name": "x"}])))
    stated = {"name": "x", "set": {**CELLS[1]["set"], "train.epochs": 6}}  # as in the experiment
    assert "are the same run" in str(faults_of(tmp_path, changed(LIST, cells=[*CELLS, stated])))


def test_a_budget_of_runs_counts_networks(tmp_path: Path) -> None:
    rule = {"start": 3, "max": 5, "runs": 6}
    text = changed(LIST, cells=[*CELLS, {"name": "x", "set": {**CELLS[0]["set"], "model.reduction": 2}}])
    assert len(load(tmp_path, changed(text, seeds=None, replicates=rule)).cells) == 2
    assert "6 or more" in str(faults_of(tmp_path, changed(text, seeds=None, replicates={**rule, "runs": 5})))


@pytest.mark.parametrize("design", ["ofat", "leave_one_out", "fractional"])
def test_every_design_trains_a_network_once(tmp_path: Path, design: str) -> None:
    factors = {
        "A": {"path": "model.attention", "levels": ["none", "sk"]},
        "r": {"path": "model.reduction", "levels": [2, 4]},
        "lr": {"path": "train.lr", "levels": [0.1, 0.2]},
    }
    more = {"fraction": "1/2"} if design == "fractional" else {}
    text = changed(GRID, design=design, factors=factors, baseline={"A": "none", "r": 2, "lr": 0.1}, **more)
    sweep = load(tmp_path, text)
    assert len(sweep.cells) + len(sweep.duplicates) == 4
    assert len({training(sweep.experiment, cell) for cell in sweep.cells}) == len(sweep.cells)
    assert len(sweep.duplicates) == (0 if design == "fractional" else 1)
