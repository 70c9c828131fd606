"""What is wrong with a sweep: every fault, each at its place, with what is allowed there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from sweepfiles import EXPERIMENT, GRID, LIST, SEARCH, SWEEPS, changed, faults_in, faults_of, load, write

from sklab.sweep.files.load import load_single, load_sweep

CELLS = yaml.safe_load(LIST)["cells"]
FACTORS = yaml.safe_load(GRID)["factors"]
MANY = {name: {"path": f"train.{name}", "levels": list(range(1, 120))} for name in ("epochs", "step_every")}


def with_setting(path: str, value: Any) -> str:
    return changed(LIST, cells=[*CELLS, {"name": "three", "set": {path: value}}])


def with_published(**keys: Any) -> str:
    return changed(LIST, published={"source": "a table", "data": "ImageNet-1k", "rows": {}, **keys})


def with_factor(**keys: Any) -> str:
    return changed(GRID, factors={**FACTORS, "r": {**FACTORS["r"], **keys}})


DESIGNS = "list, grid, fractional, ofat, leave_one_out, search"


@pytest.mark.parametrize(
    ("sweep", "place", "told"),
    [
        (changed(LIST, study="../evil"), "study", "letters, digits"),
        (changed(LIST, study=3), "study", "wrong type; found 3; allowed: text"),
        (changed(LIST, experiment=None), "experiment", "missing"),
        (changed(LIST, experiment="bose.yaml"), "experiment", "no such file; found \"bose.yaml\"; allowed: base.yaml"),
        (changed(LIST, design="gird"), "design", f"allowed: {DESIGNS} - did you mean 'grid'"),
        (changed(LIST, design=None), "design", f"missing; allowed: {DESIGNS}"),
        (changed(LIST, cells=[*CELLS, {"name": "two\nlines"}]), "cells.2.name", 'one line; found "two\\nlines"'),
        (changed(LIST, cells=[*CELLS, {"name": "one line\n"}]), "cells.2.name", 'one line; found "one line\\n"'),
        (changed(LIST, cells=[{**CELLS[0], "factors": {"M": "a\nb"}}]), "cells.0.factors.M", 'line; found "a\\nb"'),
        (changed(LIST, cells=[{**CELLS[0], "factors": {"a\nb": 1}}]), "cells.0.factors", 'line; found "a\\nb"'),
        (changed(LIST, seeds=0), "seeds", "found 0; allowed: a list of seeds, or how many of them"),
        (changed(LIST, seeds=[]), "seeds", "1 or more"),
        (changed(LIST, seeds=[3, 3]), "seeds", "a seed stands twice"),
        (changed(LIST, seeds=[0, -1]), "seeds.1", "at least 0"),
        (changed(LIST, sizes=320), "sizes", "wrong type; found 320; allowed: a list of image sizes, in pixels a side"),
        (changed(LIST, sizes=[320, 0]), "sizes.1", "out of range; found 0; allowed: at least 1"),
        (changed(LIST, sizes=[320, 320]), "sizes", "a size stands twice"),
        (changed(LIST, sizes=[32, 320]), "sizes.1", "set scaled_digits: image size 320 is not possible; allowed: 32"),
        (changed(SEARCH, sizes=[320]), "sizes.0", "image size 320 is not possible; allowed: 32"),
        (changed(LIST, metric={"name": "val_eror"}), "metric.name", "did you mean 'val_error'"),
        (changed(LIST, metric={"name": "val_top5"}), "metric.name", 'found "val_top5"; allowed: val_error, val_loss'),
        (changed(LIST, also=["val_eec"]), "also.0", "did you mean 'val_ece'"),
        (changed(LIST, also=["val_ece", "val_ece"]), "also", "a metric stands twice"),
        (changed(LIST, also=["val_error"]), "also", "a metric stands twice; the study's is val_error"),
        (changed(LIST, also="val_ece"), "also", "wrong type"),
        (changed(LIST, metrics={"name": "val_error"}), "metrics", "unknown key; found metrics"),
        (changed(LIST, metrics={"name": "val_error"}), "metrics", "did you mean 'metric'"),
        (changed(LIST, equal_budget=0.05), "equal_budget", "found 0.05; allowed: a mapping with params, macs or both"),
        (changed(LIST, equal_budget={}), "equal_budget", "states params, macs or both"),
        (changed(LIST, equal_budget={"parms": 0.1}), "equal_budget.parms", "did you mean 'params'"),
        (changed(LIST, equal_budget={"params": "5%"}), "equal_budget.params", 'found "5%"; allowed: a share of'),
        (changed(LIST, equal_budget={"macs": 5}), "equal_budget.macs", "less than 1: 0.05 for 5 %"),
        (changed(LIST, equal_budget={"macs": -0.1}), "equal_budget.macs", "from 0 to less than 1"),
        (changed(LIST, equal_budgt={"macs": 0.1}), "equal_budgt", "did you mean 'equal_budget'"),
        (with_published(others={"two": {"error": 3.0}}), "published.others.two", "its figure stands in rows"),
        (with_published(others={"DPN": {"eror": 3.0}}), "published.others.DPN.eror", "did you mean 'error'"),
        (with_published(other={}), "published.other", "did you mean 'others'"),
        (with_published(tolerance=0), "published.tolerance", "allowed: more than 0"),
        (with_published(tolerance=-0.3), "published.tolerance", "allowed: more than 0"),
        (with_published(tolerance="0.3 %"), "published.tolerance", "a number of percentage points above 0"),
        (with_published(tolerence=0.3), "published.tolerence", "did you mean 'tolerance'"),
        (changed(LIST, baseline=None), "baseline", "missing"),
        (changed(LIST, baseline="tow"), "baseline", "allowed: one, two - did you mean 'two'"),
        (changed(LIST, baseline={"M": 1}), "baseline", "unknown cell"),
        (changed(LIST, columns=["M", "K"]), "columns.1", "unknown factor; found K; allowed: M, D"),
        (changed(LIST, columns=["M", "M"]), "columns.1", "stands twice"),
        (changed(LIST, cells=None), "cells", "design: list needs it"),
        (changed(LIST, cells=[*CELLS, 3]), "cells.2", "wrong type; found 3; allowed: a mapping"),
        (changed(LIST, cells=[*CELLS, {"name": "x", "sett": {}}]), "cells.2.sett", "did you mean 'set'"),
        (changed(LIST, cells=[*CELLS, {**CELLS[1], "name": "x"}]), "cells.2", "x and two are the same run"),
        (changed(LIST, cells=[*CELLS, CELLS[1]]), "cells.2.name", "two cells have this name"),
        (changed(LIST, factors=FACTORS), "factors", "not used by design: list"),
        (changed(GRID, factors=None), "factors", "design: grid needs it"),
        (changed(GRID, cells=CELLS), "cells", "not used by design: grid"),
        (changed(GRID, search={"trials": 3}), "search", "not used by design: grid"),
        (changed(SEARCH, search=None), "search", "design: search needs it"),
        (changed(SEARCH, search={"sampler": "tpee", "trials": 3}), "search.sampler", "did you mean 'tpe'"),
        (changed(SEARCH, search={"trials": 0}), "search.trials", "at least 1"),
        (changed(GRID, baseline="r=16"), "baseline", "a mapping with the level of every factor"),
        (changed(GRID, baseline={"r": 16}), "baseline.G", "missing; allowed: 1x, three"),
        (changed(GRID, baseline={"r": 15, "G": "1x"}), "baseline.r", "unknown level; found 15; allowed: 8, 16, 32"),
        (changed(GRID, baseline={"r": [1], "G": "1x"}), "baseline.r", "unknown level"),
        (changed(GRID, baseline={"r": 16, "G": "1x", "g": 1}), "baseline.g", "unknown factor"),
        (changed(GRID, baseline={"r": 16, "G": "three"}), "baseline", "G = 3 does not divide C = 16"),
        (with_factor(path="model.reductoin"), "factors.r.path", "did you mean 'model.reduction'"),
        (with_factor(path="modle.reduction"), "factors.r.path", "did you mean 'model.reduction'"),
        (with_factor(path="model.reduction.x"), "factors.r.path", "nothing called 'x'"),
        (with_factor(path="model.branches.first"), "factors.r.path", "nothing called 'first'"),
        (with_factor(path="model.branches.1.groups"), "factors.G.path", "replaces what model.branches.1.groups sets"),
        (with_factor(path=""), "factors.r.path", "unknown key"),
        (with_factor(levels=[]), "factors.r.levels", "1 or more"),
        (with_factor(levels=3), "factors.r.levels", "found 3; allowed: a list of values, or a mapping of names"),
        (with_factor(levels=None), "factors.r.levels", "found null; allowed: a list of values, or a mapping of names"),
        (with_factor(levels=[16, 16.0]), "factors.r.levels.1", "stands twice"),
        (with_factor(levels=[16, [8]]), "factors.r.levels.1", "has no name"),
        (with_factor(levels=[16, "16"]), "factors.r.levels.1", "stands twice"),
        (with_factor(levels=[16, "a\nb"]), "factors.r.levels.1", 'found "a\\nb"; allowed: one line; else name levels'),
        (with_factor(levels={16: 16, "a\nb": 8}), "factors.r.levels", 'a key is one line; found "a\\nb"'),
        (changed(GRID, factors={**FACTORS, "a\nb": FACTORS["r"]}), "factors", 'a key is one line; found "a\\nb"'),
        (with_factor(levels=[16, "many"]), "factors.r.levels.1", "a whole number"),
        (with_factor(levels={16: 16, "a": -3}), "factors.r.levels.a", "found -3; allowed: at least 1"),
        (with_factor(levels={16: 16, "a": 16}), "factors", "are the same run"),
        (changed(GRID, factors=MANY), "factors", "too many combinations"),
        (with_setting("model.attention", "softmax"), "cells.2.set.model.attention", "allowed: none, mean, static,"),
        (with_setting("model.attension", "sk"), "cells.2.set.model.attension", "did you mean 'model.attention'"),
        (with_setting("train.augment", {"flipp": True}), "cells.2.set.train.augment.flipp", "did you mean 'flip'"),
        (with_setting("train.augment.flip", 1), "cells.2.set.train.augment.flip", "true or false"),
        (with_setting("data.name", "mnist"), "cells.2.set.data.name", "unknown data set"),
        (with_setting("data.train_sise", 3), "cells.2.set.data.train_sise", "did you mean 'data.train_size'"),
        (with_setting("train.lr", "0.1"), "cells.2.set.train.lr", 'found "0.1"; allowed: a number'),
        (with_setting("model.branches", []), "cells.2.set.model.branches", "1 or more"),
        (with_setting("model.branches.0.kernel", 4), "cells.2.set.model.branches.0.kernel", "must be odd"),
        (with_setting("model.branches.0.groups", "x2"), "cells.2.set.model.branches.0.groups", "such as 2x"),
        (with_setting("train", {"epochs": 1}), "cells.2.set.train.lr", "missing"),
    ],
)  # fmt: skip
def test_each_fault_at_its_place_with_what_is_allowed(tmp_path: Path, sweep: str, place: str, told: str) -> None:
    faults = faults_of(tmp_path, sweep)
    assert place in faults
    assert told in str(faults[place])
    assert faults[place].file == str(tmp_path / "question.yaml")
    assert faults[place].line == 0 or faults[place].line <= len(sweep.splitlines())


def test_a_faulty_metric_makes_no_fault_of_the_others(tmp_path: Path) -> None:
    text = changed(LIST, metric={"name": "val_eror"}, also=["val_error"])
    assert list(faults_of(tmp_path, text)) == ["metric.name"]


@pytest.mark.parametrize(
    ("experiment", "place", "told"),
    [
        (EXPERIMENT.replace("epochs: 6", "epohcs: 6"), "train.epohcs", "did you mean 'epochs'"),
        (EXPERIMENT.replace("epochs: 6", ""), "train.epochs", "missing"),
        (EXPERIMENT.replace("epochs: 6", "epochs: 1.5"), "train.epochs", "found 1.5; allowed: a whole number"),
        (EXPERIMENT.replace("lr: 0.1", "lr: -1"), "train.lr", "more than 0"),
        (EXPERIMENT.replace("sknet_small", "sknet_smal"), "model.base", "did you mean 'sknet_small'"),
        (EXPERIMENT.replace("scaled_digits", "scaled_digit"), "data.name", "did you mean 'scaled_digits'"),
        (EXPERIMENT.replace("name: scaled_digits", "seed: 3"), "data.name", "unknown data set; allowed: "),
        (
            EXPERIMENT.replace("base: sknet_small", "base: sknet_small\n  wdith: 3"),
            "model.wdith",
            "did you mean 'width'",
        ),
        (EXPERIMENT.replace("base: sknet_small", "base: sknet_small\n  width: 30"), "model", "does not divide C = 30"),
        (EXPERIMENT.replace("min_dim: 1", "num_classes: 5"), "", "model.num_classes = 5 but the data set"),
        (EXPERIMENT.replace("model:\n  base: sknet_small\n  min_dim: 1", "model: sknet_small"), "model", "a mapping"),
        (EXPERIMENT + "extra: 1\n", "extra", "allowed: data, model, train"),
        (EXPERIMENT + "train: {}\n", "train", "this key stands twice"),
    ],
)
def test_faults_of_the_experiment_stand_in_its_own_file(tmp_path: Path, experiment: str, place: str, told: str) -> None:
    for faults in (
        faults_of(tmp_path, LIST, experiment),
        faults_in(lambda: load_single(tmp_path / "base.yaml")),
    ):
        assert told in str(faults[place])
        assert {fault.file for fault in faults.values()} == {str(tmp_path / "base.yaml")}


def test_the_line_is_that_of_the_setting(tmp_path: Path) -> None:
    sweep = LIST.replace("dilation: 3}", "dilation: wide}")
    (fault,) = faults_of(tmp_path, sweep).values()
    assert "wide" in sweep.splitlines()[fault.line - 1]
    (fault,) = faults_of(tmp_path, LIST, EXPERIMENT.replace("0.1", "fast")).values()
    assert fault.line == 9


def test_faults_of_both_files_and_of_the_command_line_are_told_at_once(tmp_path: Path) -> None:
    sweep = changed(LIST, colums=["M"], baseline="tow", cells=[*CELLS, {"name": "x", "set": {"train.lr": "fast"}}])
    faults = faults_of(tmp_path, sweep, EXPERIMENT.replace("epochs", "epohcs"), seeds=0, overrides={"train.wd": "1"})
    assert set(faults) == {
        "colums", "baseline", "cells.2.set.train.lr", "train.epohcs", "train.epochs", "train.wd", "--seeds"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        ("train.epohcs", "3", "did you mean 'train.epochs'"),
        ("train.epochs", "many", 'wrong type; found "many"; allowed: a whole number'),
        ("train.epochs", "", "wrong type; found null"),
        ("train.epochs", "[", "not YAML"),
        ("train.epochs", "!!python/name:os.system ''", "tags are not read here"),
        ("train.epochs.x", "3", "nothing called 'x'"),
        ("model.depths.7", "3", "no entry 7"),
        ("model.base", "sknet", "unknown network"),
        ("data.name", "mnist", "unknown data set"),
        ("model.reduction", "3", "sets this too, at factors.r.path"),
        ("model.branches.1.groups", "4", "sets this too, at factors.G.path"),
        ("model.num_classes", "11", "model.num_classes = 11"),
        ("", "3", "unknown key; allowed: data, model, train"),
    ],
)
def test_a_faulty_override_is_told_as_what_was_typed(tmp_path: Path, path: str, text: str, told: str) -> None:
    (fault,) = faults_of(tmp_path, GRID, overrides={path: text}).values()
    assert (fault.file, fault.place, fault.line) == ("--set", path, 0)
    assert told in str(fault)


def test_an_override_wider_than_a_factor_is_refined_by_it(tmp_path: Path) -> None:
    sweep = load(tmp_path, GRID, overrides={"model.branches": "[{kernel: 5}, {kernel: 7}]"})
    assert len(sweep.cells) == 3


def test_a_setting_before_the_one_that_replaces_it_is_a_fault(tmp_path: Path) -> None:
    settings = {"model.branches.1.dilation": 3, "model.branches": [{"kernel": 3}]}
    faults = faults_of(tmp_path, changed(LIST, cells=[*CELLS, {"name": "x", "set": settings}]))
    assert "put the wider path first" in str(faults["cells.2.set.model.branches"])


@pytest.mark.parametrize("design", SWEEPS)
def test_published_rows_are_for_cells_of_the_sweep(tmp_path: Path, design: str) -> None:
    published = {"source": "s", "data": "d", "rows": {"towo": {"error": 1}}}
    (fault,) = faults_of(tmp_path, changed(SWEEPS[design], published=published)).values()
    assert fault.place == "published.rows.towo"
    assert fault.allowed


def test_a_level_that_fits_nowhere_is_a_fault_of_a_search_too(tmp_path: Path) -> None:
    sweep = SEARCH.replace("levels: [8, 16, 32]", "levels: [8, 16, many]")
    assert "a whole number" in str(faults_of(tmp_path, sweep)["factors.r.levels.2"])


def test_a_study_is_not_named_after_a_file_that_can_not_name_it(tmp_path: Path) -> None:
    other = tmp_path / "my experiment.yaml"
    other.write_text(EXPERIMENT)
    file = write(tmp_path, LIST)
    assert "question-my experiment" in str(faults_in(lambda: load_sweep(file, experiment=other))["study"])
    assert "study" in faults_in(lambda: load_single(other))


@pytest.mark.parametrize("seeds", [0, -1, 10**12])
def test_a_number_of_seeds_out_of_range_is_a_fault(tmp_path: Path, seeds: int) -> None:
    (fault,) = faults_of(tmp_path, GRID, seeds=seeds).values()
    assert (fault.place, fault.allowed) == ("--seeds", "1 to 1000")


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_out_of_range_is_a_fault(tmp_path: Path, seed: int) -> None:
    file = write(tmp_path, LIST).with_name("base.yaml")
    assert "out of range" in str(faults_in(lambda: load_single(file, seed=seed))["--seed"])


def test_an_experiment_from_the_command_line_that_is_not_there(tmp_path: Path) -> None:
    file = write(tmp_path, LIST)
    (fault,) = faults_in(lambda: load_sweep(file, experiment=tmp_path / "bose.yaml")).values()
    assert (fault.file, fault.message, fault.hint) == (
        str(tmp_path / "bose.yaml"),
        "no such file",
        str(tmp_path / "base.yaml"),
    )


def test_a_broken_file_beside_a_broken_experiment(tmp_path: Path) -> None:
    faults = faults_of(tmp_path, changed(LIST, colums=[]), "a: [")
    assert set(faults) == {"colums", ""}
    assert "not YAML" in str(faults[""])
