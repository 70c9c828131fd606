"""Sweep files in, sweeps out."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweepfiles import EXPERIMENT, GRID, LIST, SEARCH, SWEEPS, changed, load, write

from sklab.spec.study.sweep import Metric
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import resolve, run_spec
from sklab.sweep.files.experimentfile import read_experiment
from sklab.sweep.files.load import load_single, load_sweep


def test_a_list_of_cells(tmp_path: Path) -> None:
    sweep = load(tmp_path, LIST)
    assert (sweep.study, sweep.experiment_name, sweep.baseline) == ("question", "base", "one")
    assert (sweep.seeds, sweep.columns, sweep.metric) == ((0, 1), ("M", "D"), Metric())
    one, two = sweep.cells
    assert one.factors == {"M": "1"}
    assert two.factors == {"M": "2", "D": "3"}
    branches = run_spec(sweep, two, 0).experiment.model.branches
    assert [(branch.dilation, branch.groups) for branch in branches] == [(1, 4), (3, 4)]
    assert run_spec(sweep, one, 0).experiment.model.attention == "none"


def test_a_grid_lists_what_breaks_a_rule_with_its_reason(tmp_path: Path) -> None:
    sweep = load(tmp_path, GRID)
    assert [cell.name for cell in sweep.cells] == ["r=8, G=1x", "r=16, G=1x", "r=32, G=1x"]
    assert [cell.name for cell in sweep.invalid] == ["r=8, G=three", "r=16, G=three", "r=32, G=three"]
    assert "G = 3 does not divide C = 16" in sweep.invalid[0].reason
    assert sweep.invalid[0].factors == {"r": "8", "G": "three"}
    assert sweep.baseline == "r=16, G=1x"


def test_one_factor_at_a_time_starts_from_the_baseline(tmp_path: Path) -> None:
    sweep = load(tmp_path, SWEEPS["ofat"])
    assert [cell.name for cell in sweep.cells] == ["r=16, G=1x", "r=8, G=1x", "r=32, G=1x"]
    assert [cell.name for cell in sweep.invalid] == ["r=16, G=three"]


def test_a_search_begins_with_its_baseline(tmp_path: Path) -> None:
    sweep = load(tmp_path, SEARCH)
    assert [cell.name for cell in sweep.cells] == [sweep.baseline]
    assert sweep.search is not None
    assert sweep.search.trials == 4
    assert sweep.factors["G"].levels == {"1x": "1x", "three": 3}
    assert sweep.invalid == ()


@pytest.mark.parametrize("design", SWEEPS)
def test_the_keys_of_the_runs_are_those_of_their_specs(tmp_path: Path, design: str) -> None:
    sweep = load(tmp_path, SWEEPS[design])
    for cell in sweep.cells:
        assert tuple(cell.runs) == sweep.seeds
        assert all(run_spec(sweep, cell, seed).key == key for seed, key in cell.runs.items())


@pytest.mark.parametrize("design", SWEEPS)
def test_a_sweep_written_to_its_folder_is_read_back(tmp_path: Path, design: str) -> None:
    sweep = load(tmp_path, SWEEPS[design])
    folder = StudyFolder(tmp_path / "results")
    folder.write_sweep(sweep)
    assert folder.read_sweep() == sweep


def test_names_of_levels_are_as_written(tmp_path: Path) -> None:
    factors = (
        "factors: {lr: {path: train.lr, levels: [1e-4, 0.10, 1]}, n: {path: train.nesterov, levels: [true, false]}}"
    )
    sweep = load(
        tmp_path, f"experiment: base.yaml\ndesign: grid\nseeds: 1\nbaseline: {{lr: 1e-4, n: true}}\n{factors}\n"
    )
    assert list(sweep.factors["lr"].levels.items()) == [("1e-4", 1e-4), ("0.10", 0.1), ("1", 1)]
    assert sweep.baseline == "lr=1e-4, n=true"


def test_later_factors_refine_what_earlier_ones_replace(tmp_path: Path) -> None:
    factors = """\
factors:
  M: {path: model.branches, levels: {1: [{kernel: 3}], 2: [{kernel: 3}, {kernel: 3, groups: 2x}]}}
  D: {path: model.branches.1.dilation, levels: [1, 2]}
"""
    text = f"experiment: base.yaml\ndesign: grid\nseeds: 1\nbaseline: {{M: 2, D: 1}}\n{factors}"
    sweep = load(tmp_path, text)
    second = [run_spec(sweep, cell, 0).experiment.model.branches[1] for cell in sweep.cells]
    assert [(branch.dilation, branch.groups) for branch in second] == [(1, 8), (2, 8)]
    assert [cell.name for cell in sweep.invalid] == ["M=1, D=1", "M=1, D=2"]
    assert "no entry 1" in sweep.invalid[0].reason


def test_a_rule_of_the_data_set_makes_a_cell_invalid_too(tmp_path: Path) -> None:
    images = EXPERIMENT.replace("scaled_digits", "image_folder\n  root: r\n  num_classes: 1000").replace("_small", "50")
    factors = "factors: {size: {path: data.image_size, levels: [224, 300]}}"
    sweep = load(
        tmp_path, f"experiment: base.yaml\ndesign: ofat\nseeds: 1\nbaseline: {{size: 224}}\n{factors}\n", images
    )
    assert [cell.name for cell in sweep.invalid] == ["size=300"]
    assert "resize = 256" in sweep.invalid[0].reason


def test_sizes_and_errors_published_at_them_are_taken_over_and_change_no_key(tmp_path: Path) -> None:
    row = {"error": 20.0, "errors": {320: 19.5}}
    published = {"source": "a table", "data": "ImageNet-1k", "rows": {"two": row}}
    images = EXPERIMENT.replace("scaled_digits", "image_folder\n  root: r\n  num_classes: 1000").replace("_small", "50")
    sweep = load(tmp_path, changed(LIST, sizes=[320, 64], published=published), images)
    assert sweep.sizes == (320, 64)
    assert sweep.published is not None
    assert sweep.published.rows["two"].errors == {320: 19.5}
    assert sweep.cells == load(tmp_path, LIST, images).cells
    folder = StudyFolder(tmp_path / "results")
    folder.write_sweep(sweep)
    assert folder.read_sweep() == sweep


def test_published_rows_and_columns_are_taken_over(tmp_path: Path) -> None:
    published = {"source": "a table", "data": "ImageNet-1k", "rows": {"two": {"error": 20, "verified": True}}}
    sweep = load(tmp_path, changed(LIST, published=published, columns=["D"], question="why?\n", study="named"))
    assert sweep.published is not None
    assert sweep.published.rows["two"].error == 20
    assert (sweep.columns, sweep.question, sweep.study) == (("D",), "why?", "named")


def test_seeds_and_experiment_from_the_command_line(tmp_path: Path) -> None:
    file = write(tmp_path, GRID)
    other = tmp_path / "wide.yaml"
    other.write_text(EXPERIMENT.replace("base: sknet_small", "base: sknet_small\n  width: 48"))
    sweep = load_sweep(file, experiment=other, seeds=3)
    assert (sweep.study, sweep.experiment_name, sweep.seeds) == ("question-wide", "wide", (0, 1, 2))
    assert len(sweep.cells) == 6
    assert run_spec(sweep, sweep.cells[0], 0).experiment.model.width == 48


def test_overrides_are_laid_over_the_experiment(tmp_path: Path) -> None:
    overrides = {"train.lr": "1e-3", "train.augment.flip": "true", "model.base": "senet_small", "model.depths.0": "2"}
    base = read_experiment(write(tmp_path, LIST).with_name("base.yaml"), overrides)
    experiment = resolve(base.tree)
    assert base.name == "base"
    assert (experiment.train.lr, experiment.train.augment.flip) == (1e-3, True)
    assert (experiment.model.attention, experiment.model.depths) == ("se", (2, 1, 1))


def test_overrides_change_the_keys_of_all_runs(tmp_path: Path) -> None:
    plain, other = load(tmp_path, GRID), load(tmp_path, GRID, overrides={"train.lr": "0.2"})
    assert not {k for c in plain.cells for k in c.runs.values()} & {k for c in other.cells for k in c.runs.values()}


def test_an_experiment_may_spell_its_network_out(tmp_path: Path) -> None:
    model = "model: {branches: [{kernel: 3}], attention: none, depths: [1], in_channels: 1, num_classes: 10}"
    file = write(tmp_path, LIST, EXPERIMENT.replace("model:\n  base: sknet_small\n  min_dim: 1", model)).with_name(
        "base.yaml"
    )
    assert resolve(read_experiment(file, {}).tree).model.depths == (1,)


def test_a_single_experiment_is_a_study_of_one_run(tmp_path: Path) -> None:
    file = write(tmp_path, LIST).with_name("base.yaml")
    sweep = load_single(file, seed=5, overrides={"train.epochs": "1"})
    (cell,) = sweep.cells
    assert (sweep.study, sweep.baseline, list(cell.runs)) == ("base-train.epochs-1", "base", [5])
    assert run_spec(sweep, cell, 5).experiment.train.epochs == 1
    assert run_spec(sweep, cell, 5).key == cell.runs[5]
