"""A level, a cell and a published figure are found however the numbers in their names are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sweepfiles import LIST, SWEEPS, changed, faults_of, load

from sklab.spec.study.sweep import Sweep
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.space import with_found_cells
from sklab.sweep.plan.continued import change
from sklab.sweep.run.failures import retry

FACTORS = {
    "lr": {"path": "train.lr", "levels": [0.1, "LEVEL"]},
    "r": {"path": "model.reduction", "levels": [16, 8]},
}


def with_level(design: str, written: str, baseline: str = "0.1", **keys: Any) -> str:
    """A sweep of two factors, one of whose levels is `written`."""
    text = changed(SWEEPS[design], factors=FACTORS, baseline={"lr": "BASE", "r": 16}, fraction=None, **keys)
    return text.replace("LEVEL", written).replace("BASE", baseline)


@pytest.mark.parametrize("design", ["grid", "ofat", "leave_one_out", "search"])
def test_a_baseline_finds_its_level(tmp_path: Path, design: str) -> None:
    sweep = load(tmp_path, with_level(design, "1e-2", "0.01"))
    baseline = next(cell for cell in sweep.cells if cell.name == sweep.baseline)
    assert baseline.factors == {"lr": "1e-2", "r": "16"}


def test_a_level_that_is_not_there_is_not_taken_for_one_that_looks_alike(tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path, with_level("grid", "0.2", "0.01")).values()
    assert (fault.place, fault.found, fault.hint) == ("baseline.lr", "0.01", "")
    (fault,) = faults_of(tmp_path, with_level("grid", "0.2", "0.19")).values()
    assert fault.hint == "0.2"


def test_levels_of_listed_cells_are_one_level(tmp_path: Path) -> None:
    cells = [
        {"name": "a", "factors": {"lr": 0.1}, "set": {"train.lr": 0.1}},
        {"name": "b", "factors": {"lr": "WAY"}, "set": {"train.lr": 0.1, "model.reduction": 8}},
    ]
    sweep = load(tmp_path, changed(LIST, cells=cells, baseline="a").replace("WAY", "1e-1"))
    assert [cell.factors for cell in sweep.cells] == [{"lr": "0.1"}, {"lr": "0.1"}]


def test_published_figures_find_their_cell(tmp_path: Path) -> None:
    published = {"source": "s", "data": "d", "rows": {"lr=0.01, r=8": {"error": 3.0}}}
    sweep = load(tmp_path, with_level("grid", "1e-2", published=published))
    assert sweep.published is not None
    assert list(sweep.published.rows) == ["lr=1e-2, r=8"]
    published = {**published, "rows": {}, "others": {"lr=0.01, r=8": {"error": 3.0}}}
    assert "published.others.lr=0.01, r=8" in faults_of(tmp_path, with_level("grid", "1e-2", published=published))


def test_a_level_written_in_another_way_changes_nothing_of_a_study(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "study")
    folder.write_sweep(load(tmp_path, with_level("grid", "1e-2")))
    found = change(load(tmp_path, with_level("grid", "0.01")), folder)
    assert found is not None
    assert (found.cells_added, found.cells_removed, found.cells_changed) == ((), (), ())
    other = change(load(tmp_path, with_level("grid", "0.02")), folder)
    assert other is not None
    assert (len(other.cells_added), len(other.cells_removed)) == (2, 2)


def test_what_a_search_has_found_stays_found(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "study")
    before = load(tmp_path, with_level("search", "1e-2"))
    cell = before.cells[0].model_copy(update={"name": "lr=1e-2, r=8", "factors": {"lr": "1e-2", "r": "8"}})
    folder.write_sweep(before.model_copy(update={"cells": (*before.cells, cell)}))
    now: Sweep = with_found_cells(load(tmp_path, with_level("search", "0.01")), folder.read_sweep(), {})
    assert [cell.name for cell in now.cells] == ["lr=0.1, r=16", "lr=0.01, r=8"]


def test_a_cell_to_retry_is_found(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "study")
    folder.write_sweep(load(tmp_path, with_level("grid", "1e-2")))
    assert retry(folder, ["lr=0.01, r=8.0"], failed=False) == []
