"""Nuisance settings in a sweep file: the cells that try them, and what can't be tuned."""

from __future__ import annotations

import pytest
from sweepfiles import EXPERIMENT, GRID, LIST, SEARCH, SWEEPS, changed, faults_of, load

from sklab.spec.run import RunSpec
from sklab.spec.study.nuisance import FIRST_SEED
from sklab.sweep.design.cells import run_spec

RATES = {"train.weight_decay": [0.0, 1e-4]}


@pytest.mark.parametrize("design", sorted(SWEEPS.keys() - {"search"}))
def test_every_cell_tries_every_setting_on_seeds_of_tuning_and_has_runs_for_every_seed(tmp_path, design):
    plain = load(tmp_path, SWEEPS[design])
    tuned = load(tmp_path, changed(SWEEPS[design], nuisance=RATES, tuning_seeds=2))
    assert tuned.nuisance.tuning_seeds == (FIRST_SEED, FIRST_SEED + 1)
    assert tuned.seeds == (*tuned.nuisance.tuning_seeds, *plain.seeds)
    assert len(tuned.cells) == 2 * len(plain.cells)
    assert all(tuple(cell.runs) == tuned.seeds for cell in tuned.cells)
    common = [cell for cell in tuned.cells if tuned.nuisance.setting_of(cell.factors) == tuned.nuisance.common]
    assert [tuned.name_of_row(cell) for cell in common] == [cell.name for cell in plain.cells]
    for cell, before in zip(common, plain.cells, strict=True):
        own = {seed: key for seed, key in cell.runs.items() if seed in plain.seeds}
        assert own == before.runs, "at the experiment's own setting a run keeps its key"
    keys = [key for cell in tuned.cells for key in cell.runs.values()]
    assert len(set(keys)) == len(keys)


def test_a_cell_is_trained_at_the_setting_that_its_name_gives(tmp_path):
    sweep = load(tmp_path, changed(LIST, nuisance={"train.lr": [0.05, 0.1], "train.momentum": [0.8, 0.9]}))
    assert sweep.baseline == "one, train.lr=0.1, train.momentum=0.9"
    assert len(sweep.cells) == 8
    for cell in sweep.cells:
        spec = run_spec(sweep, cell, FIRST_SEED)
        train = spec.experiment.train
        assert cell.name.endswith(f", train.lr={train.lr}, train.momentum={train.momentum}")
        assert RunSpec(experiment=spec.experiment, seed=0).key == cell.runs[0]


def test_values_may_have_names_and_be_mappings(tmp_path):
    values = {"long": 2.0, "none": 0.0}
    sweep = load(tmp_path, changed(GRID, nuisance={"train.warmup_epochs": values}))
    assert sweep.nuisance.settings == {"train.warmup_epochs": values}
    assert sweep.nuisance.common == {"train.warmup_epochs": "none"}


@pytest.mark.parametrize(
    ("keys", "place", "said"),
    [
        ({"nuisance": {"train.lr": [0.1]}}, "nuisance.train.lr", "fewer than two"),
        ({"nuisance": {"train.lr": 0.1}}, "nuisance.train.lr", "a list of values"),
        ({"nuisance": {}}, "nuisance", "1 or more entries"),
        ({"nuisance": [0.1]}, "nuisance", "a mapping of paths to values"),
        ({"nuisance": {"train.lr": [0.1, 0.1]}}, "nuisance.train.lr.1", "twice"),
        ({"nuisance": {"train.lr": {"a": 0.1, "b": 0.1}}}, "nuisance.train.lr", "twice"),
        ({"nuisance": {"train.lr": [0.2, 0.3]}}, "nuisance.train.lr", "values with 0.1"),
        ({"nuisance": {"train.lr": [0.1, "fast"]}}, "nuisance.train.lr.1", "number"),
        ({"nuisance": {"train.lr": [0.1, -1.0]}}, "nuisance.train.lr.1", "more than 0"),
        ({"nuisance": {"train.rate": [0.1, 0.2]}}, "nuisance.train.rate", "unknown"),
        ({"nuisance": {"train.lr.base": [0.1, 0.2]}}, "nuisance.train.lr.base", "nothing called"),
        ({"nuisance": {"model.reduction": [8, 16]}}, "nuisance.model.reduction", "recipe"),
        ({"nuisance": {"train": [1, 2]}}, "nuisance.train", "recipe"),
        ({"nuisance": RATES, "tuning_seeds": 0}, "tuning_seeds", "1"),
        ({"tuning_seeds": 2}, "tuning_seeds", "needs the key nuisance"),
        ({"nuisance": RATES, "seeds": [0, FIRST_SEED]}, "seeds", "below 1000000"),
        ({"nuisance": RATES, "seeds": None, "replicates": {"start": 2, "max": 4}}, "nuisance", "replicates"),
        ({"nuisance": {"train.lr": [k / 100 for k in range(1, 66)]}}, "nuisance", "at most 64"),
        (
            {"nuisance": {"train.augment": [{}, {"flip": True}], "train.augment.flip": [False, True]}},
            "nuisance.train.augment.0",
            "no name",
        ),
        (
            {
                "nuisance": {
                    "train.augment": {"no": {}, "flip": {"flip": True}},
                    "train.augment.flip": [False, True],
                }
            },
            "nuisance.train.augment.flip",
            "lies in train.augment",
        ),
        (
            {"nuisance": RATES, "cells": [{"name": "one"}, {"name": "two", "set": {"train.weight_decay": 0.1}}]},
            "nuisance.train.weight_decay",
            "cells.1.set.train.weight_decay",
        ),
    ],
)
def test_what_can_not_be_tuned_is_told_with_its_place(tmp_path, keys, place, said):
    faults = faults_of(tmp_path, changed(LIST, **keys))
    assert place in faults
    assert said in f"{faults[place].message} {faults[place].allowed}", faults[place]


def test_a_factor_is_not_tuned_too(tmp_path):
    nuisance = {"train.lr": [0.1, 0.2]}
    fault = faults_of(tmp_path, changed(SWEEPS["fractional"], nuisance=nuisance))["nuisance.train.lr"]
    assert fault.message == "is set at factors.lr.path too; a cell can't both vary and tune it"
    grid = changed(GRID, baseline={"train.lr": "16", "G": "1x"})
    grid = grid.replace("r: 16", "train.lr: 16").replace("  r:", "  train.lr:")
    assert "nuisance.train.lr" in faults_of(tmp_path, changed(grid, nuisance=nuisance))


def test_a_search_does_not_tune(tmp_path):
    assert "search" in faults_of(tmp_path, changed(SEARCH, nuisance=RATES))["nuisance"].message


def test_the_command_line_does_not_set_what_is_tuned(tmp_path):
    sweep = changed(LIST, nuisance={"train.lr": [0.1, 0.2]})
    assert "tunes this" in faults_of(tmp_path, sweep, overrides={"train.lr": "0.2"})["train.lr"].message
    assert load(tmp_path, sweep, overrides={"train.epochs": "3"}).nuisance


def test_a_setting_that_a_cell_can_not_be_trained_at_is_a_fault(tmp_path):
    experiment = EXPERIMENT.replace("name: scaled_digits", "name: scaled_digits\n  train_size: 256")
    faults = faults_of(tmp_path, changed(LIST, nuisance={"train.batch_size": [64, 512]}), experiment)
    assert "train.batch_size=512 can't be trained: train.batch_size = 512 but" in faults["nuisance"].message


def test_more_runs_than_a_study_can_hold_are_counted_before_they_are_made(tmp_path):
    many = {"train.lr": [k / 100 for k in range(1, 61)]}
    assert "too many runs" in faults_of(tmp_path, changed(LIST, nuisance=many, seeds=1000))["seeds"].message
