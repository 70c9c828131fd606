"""What a start of a sweep would do that the last one did not."""

from __future__ import annotations

import pytest

from sklab.commands.screen.plan import plan_text
from sklab.spec.study.changes import Change
from sklab.store.study_folder import StudyFolder
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan.continued import change
from sklab.sweep.plan.plan import make_plan
from sklab.sweep.plan.prepared import Start, prepare
from sklab.sweep.plan.prices import Resources


@pytest.fixture
def study(toy_files):
    folder = StudyFolder(toy_files / "results" / "sweep")
    folder.write_sweep(load_sweep(toy_files / "sweep.yaml"))
    return folder


def test_before_the_first_start_there_is_nothing_to_compare_with(toy_files):
    assert change(load_sweep(toy_files / "sweep.yaml"), StudyFolder(toy_files / "results" / "sweep")) is None


def test_the_same_file_has_not_changed(toy_files, study):
    sweep = load_sweep(toy_files / "sweep.yaml")
    assert change(sweep, study) == Change()
    assert "since the last start: nothing has changed" in plan_text(
        make_plan(prepare(Start(sweep, study)), Resources(1), lambda _: (1, 1))
    )


def test_cells_seeds_and_settings_that_changed_are_told(toy_files, study):
    text = (toy_files / "sweep.yaml").read_text().replace("seeds: 2", "seeds: [1, 2]").replace("K3+K5 SK", "both")
    (toy_files / "sweep.yaml").write_text(text)
    sweep = load_sweep(toy_files / "sweep.yaml", overrides={"train.epochs": "3"})
    assert change(sweep, study) == Change(
        cells_added=("both",),
        cells_removed=("K3+K5 SK",),
        cells_changed=("K3",),
        seeds_added=(2,),
        seeds_removed=(0,),
        settings=("train.epochs: 2 -> 3",),
    )
    shown = plan_text(make_plan(prepare(Start(sweep, study)), Resources(1), lambda _: (1, 1)))
    assert "since the last start: cells that are other runs now: K3" in shown
    assert "since the last start: train.epochs: 2 -> 3" in shown


def test_a_cell_with_another_setting_is_another_run(toy_files, study):
    text = (
        (toy_files / "sweep.yaml")
        .read_text()
        .replace("model.attention: none}", "model.attention: none, train.lr: 1.0}")
    )
    (toy_files / "sweep.yaml").write_text(text)
    assert change(load_sweep(toy_files / "sweep.yaml"), study) == Change(cells_changed=("K3",))
