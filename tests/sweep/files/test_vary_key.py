"""The key `vary` of a sweep file: from the file to the seeds and splits of the runs."""

from __future__ import annotations

from pathlib import Path

from sweepfiles import EXPERIMENT, LIST, SEARCH, changed, faults_of, load

from sklab.spec.study.vary import Sources, Vary
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import run_spec, searched_cell
from sklab.sweep.design.toy import toy
from sklab.sweep.plan.continued import continued
from sklab.sweep.plan.trained_data import data_sets_of

CROSSED = changed(LIST, seeds=8, vary={"init": 2, "split": 2})
FOLDER = """\
data: {name: image_folder, root: photos, num_classes: 10}
model: {base: sknet_small, in_channels: 3}
train: {epochs: 6, batch_size: 64, lr: 0.1}
"""


def test_the_runs_of_a_sweep_have_their_sources_and_their_splits(tmp_path: Path) -> None:
    sweep = load(tmp_path, CROSSED)
    assert sweep.vary == Vary(init=2, split=2)
    assert sweep.splits == (0, 1, 2, 3)
    specs = [run_spec(sweep, sweep.cells[1], seed) for seed in sweep.seeds]
    assert [spec.key for spec in specs] == list(sweep.cells[1].runs.values())
    assert specs[5].experiment.train.sources(5) == Sources(init=3, order=0, augment=0, split=2)
    assert [spec.trained.data.seed for spec in specs] == [0, 0, 1, 1, 2, 2, 3, 3]  # type: ignore[attr-defined]
    assert [data.seed for data in data_sets_of(sweep)] == [0, 1, 2, 3]  # type: ignore[attr-defined]


def test_without_the_key_nothing_varies_apart_and_keys_are_as_ever(tmp_path: Path) -> None:
    plain, varied = load(tmp_path, LIST), load(tmp_path, changed(LIST, vary=["init"]))
    assert plain.vary is None
    assert plain.splits == ()
    assert plain.cells[0].runs[0] == load(tmp_path, LIST, EXPERIMENT + "  vary: null\n").cells[0].runs[0]
    assert plain.cells[0].runs[0] != varied.cells[0].runs[0]


def test_a_search_and_a_later_start_have_the_same_runs(tmp_path: Path) -> None:
    sweep = load(tmp_path, changed(SEARCH, vary=["init", "order"]))
    found = searched_cell(sweep, {"r": "8", "G": "1x"})
    assert found.runs == {seed: run_spec(sweep, found, seed).key for seed in sweep.seeds}  # type: ignore[union-attr, arg-type]
    assert continued(sweep, StudyFolder(tmp_path / "results" / "question"), {}) == sweep


def test_a_toy_has_two_whole_blocks_of_noise(tmp_path: Path) -> None:
    small = toy(load(tmp_path, CROSSED))
    assert small.seeds == tuple(range(8))
    assert run_spec(small, small.cells[0], 7).trained.data.name == "stand_in"
    assert toy(load(tmp_path, LIST)).seeds == (0, 1)


def test_what_can_not_be_split_anew_is_a_fault(tmp_path: Path) -> None:
    faults = faults_of(tmp_path, changed(LIST, vary=["init", "split"]), FOLDER)
    assert faults["vary"].message == "data set image_folder has one split where data.folds is not set"
    sweep = load(tmp_path, changed(LIST, vary=["split"], seeds=3), FOLDER.replace("photos", "photos, folds: 2"))
    assert [data.split for data in data_sets_of(sweep)] == [0, 1, 2]  # type: ignore[attr-defined]


def test_a_cell_can_not_vary_by_itself(tmp_path: Path) -> None:
    own = changed(CROSSED, cells=[{"name": "one"}, {"name": "two", "set": {"train.vary": ["init"]}}])
    (invalid,) = load(tmp_path, own).invalid
    assert invalid.reason == "train.vary is set for all cells, by the key vary"


def test_single_seeds_can_not_be_added_to_blocks(tmp_path: Path) -> None:
    rule = {"start": 2, "max": 4}
    faults = faults_of(tmp_path, changed(LIST, seeds=None, replicates=rule, vary={"init": 2, "order": 1}))
    assert "a block of vary is several runs" in faults["replicates"].message
    assert load(tmp_path, changed(LIST, seeds=None, replicates=rule, vary=["init"])).replicates
