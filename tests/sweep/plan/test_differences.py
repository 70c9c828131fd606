"""Every cell differs from the baseline in what it declares and in nothing else, or the plan says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan.differences import confounds, differences
from sklab.sweep.plan.plan import cell_experiments

TOY_EXPERIMENT = """\
data: {name: scaled_digits, train_size: 64, val_size: 32}
model: {base: sknet_small, stem_width: 4, width: 8, out_width: 8, cardinality: 2, min_dim: 1, depths: [1, 1]}
train: {epochs: 2, batch_size: 16, lr: 0.05}
"""
ROOT = Path(__file__).parents[3]
LIST = "experiment: toy.yaml\ndesign: list\nseeds: 1\nbaseline: a\ncells:\n"
GRID = """\
experiment: toy.yaml
design: grid
seeds: 1
baseline: {r: 2, M: one}
factors:
  r: {path: model.reduction, levels: [2, 4]}
  M: {path: model.branches, levels: {one: [{kernel: 3}], two: [{kernel: 3}, {kernel: 5}]}}
"""


def told(sweep) -> tuple[str, ...]:
    experiments = cell_experiments(sweep)
    return confounds(sweep, experiments, differences(sweep, experiments))


def listed(toy_files: Path, *cells: str):
    (toy_files / "list.yaml").write_text(LIST + "".join(f"  - {{name: {cell}}}\n" for cell in cells))
    return load_sweep(toy_files / "list.yaml")


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grid")
    (folder / "toy.yaml").write_text(TOY_EXPERIMENT)
    (folder / "grid.yaml").write_text(GRID)
    return load_sweep(folder / "grid.yaml")


@pytest.mark.parametrize("file", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda file: file.stem)
def test_no_question_that_ships_is_confounded(file):
    assert told(load_sweep(file)) == ()


def test_the_cells_of_a_grid_differ_in_the_paths_of_their_other_levels_only(grid):
    found = differences(grid, cell_experiments(grid))
    by_cell = {name: {each.path: (each.baseline, each.here) for each in differing} for name, differing in found.items()}
    assert by_cell["r=2, M=one"] == {}
    assert by_cell["r=4, M=one"] == {"model.reduction": (2, 4)}
    assert by_cell["r=2, M=two"]["model.branches.1.kernel"] == (None, 5)
    assert all(path.startswith("model.branches.1.") for path in by_cell["r=2, M=two"])
    assert told(grid) == ()


@given(st.sampled_from(["train.lr", "train.epochs", "model.width", "data.train_size"]), st.sampled_from([1, 2, 3]))
def test_whatever_else_a_cell_of_factors_changes_is_told(grid, path, at):
    cell = grid.cells[at]
    other = cell.model_copy(update={"settings": {**cell.settings, path: 16 if path != "train.lr" else 1.0}})
    cells = (*grid.cells[:at], other, *grid.cells[at + 1 :])
    assert told(grid.model_copy(update={"cells": cells})) == (
        f"{cell.name} differs from the baseline in {path}, which it does not declare",
    )


def test_a_level_that_changes_nothing_is_told(grid):
    cells = tuple(cell.model_copy(update={"settings": {**cell.settings, "model.reduction": 2}}) for cell in grid.cells)
    assert told(grid.model_copy(update={"cells": cells})) == (
        "r=4, M=one: r = 4 changes nothing of the baseline",
        "r=4, M=two: r = 4 changes nothing of the baseline",
    )


def test_two_cells_that_the_columns_can_not_tell_apart_are_told(toy_files):
    sweep = listed(
        toy_files,
        "a, factors: {r: 16}",
        "b, factors: {r: 8}, set: {model.reduction: 8}",
        "c, factors: {r: 8}, set: {model.reduction: 8, train.lr: 0.01}",
    )
    assert told(sweep)[0] == "b and c have the same factors but differ in train.lr"


def test_a_level_that_means_different_settings_in_different_cells_is_told(toy_files):
    sweep = listed(
        toy_files,
        "a, factors: {r: 16, attention: sk}",
        "b, factors: {r: 8, attention: sk}, set: {model.reduction: 8}",
        "c, factors: {r: 16, attention: none}, set: {model.attention: none}",
        "d, factors: {r: 8, attention: none}, set: {model.reduction: 8, model.attention: none, train.lr: 0.01}",
    )
    assert told(sweep) == (
        "train.lr: a level of a factor (r, attention) stands for different settings in different cells",
    )


def test_cells_without_columns_declare_what_they_set(toy_files):
    assert told(listed(toy_files, "a", "b, set: {train.lr: 0.01}", "c, set: {model.base: sknet_small}")) == ()
