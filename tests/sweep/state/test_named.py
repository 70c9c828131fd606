"""Runs are found by study, cell and seed, as a user calls them; a slip is told with what is allowed."""

from __future__ import annotations

import shutil

import pytest
from launchers import start
from planted import SWEEP, Planted

from sklab.errors import SklabError
from sklab.spec.study.nuisance import FIRST_SEED
from sklab.spec.study.sweep import Duplicate, InvalidCell, Sweep
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.sweep.files.load import load_sweep
from sklab.sweep.state.named import named_run, run_of_words


@pytest.fixture
def sweep(toy_files) -> Sweep:
    return load_sweep(toy_files / "sweep.yaml").model_copy(update={"study": "toy"})


@pytest.fixture
def folder(tmp_path, sweep) -> StudyFolder:
    """The study of all runs, of which all have begun but K3 with seed 1."""
    folder = StudyFolder(tmp_path / "results" / "toy")
    folder.write_sweep(sweep)
    for cell in sweep.cells:
        for seed, key in cell.runs.items():
            if (cell.name, seed) != ("K3", 1):
                begin(folder.run(key))
    return folder


def begin(run: RunFolder) -> None:
    run.path.mkdir(parents=True)
    run.order_file.write_text("{}")


def test_study_cell_and_seed_name_a_run_and_so_do_its_key_and_its_folder(folder, sweep):
    key = sweep.cells[1].runs[0]
    words = (["toy", "K3+K5 SK", "0"], [str(folder.path), "K3+K5 SK", "0"], [f"toy/{key}"], [key])
    for given in (*words, [str(folder.run(key).path)]):
        assert run_of_words(given, folder.path.parent) == folder.run(key)


def test_the_seed_may_be_left_out_where_one_run_of_the_cell_has_begun(folder, sweep):
    assert run_of_words(["toy", "K3"], folder.path.parent) == folder.run(sweep.cells[0].runs[0])
    with pytest.raises(SklabError, match=r"^seed: none is named for K3\+K5 SK of toy; allowed: one of 0, 1$"):
        named_run(folder, "K3+K5 SK")
    shutil.rmtree(folder.runs)
    with pytest.raises(SklabError, match="seed: none is named for K3 of toy; no run of it has begun"):
        named_run(folder, "K3")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("toy|K3+K5 S|0", r"cell: toy has no cell 'K3\+K5 S'; its cells: K3, K3\+K5 SK - did you mean 'K3\+K5 SK'\?"),
        ("toy|K3|2", "seed: found 2; allowed for K3 of toy: 0, 1"),
        ("toy|K3|1", "toy: the run of K3, seed 1, has not begun"),
        ("toy|K3+K5|SK", "seed: found 'SK'; allowed: a whole number, 0 or more; a cell with blanks needs quotes"),
        ("toy|K3+K5|SK|0", "allowed: STUDY CELL SEED; a cell with blanks needs quotes"),
        ("toy", r"run 'toy': found a study; allowed: toy CELL SEED, with one of its cells: K3, K3\+K5 SK"),
        ("toi|K3|0", r"toi is no study: it has no sweep.yaml; studies there: toy"),
        ("toy|K7|0", "cell: 'K7' of toy can't exist and has no run: no such branch"),
    ],
)
def test_what_names_no_run_is_told_with_what_is_allowed(folder, sweep, words, message):
    folder.write_sweep(sweep.model_copy(update={"invalid": (InvalidCell(name="K7", reason="no such branch"),)}))
    with pytest.raises(SklabError, match=message):
        run_of_words(words.split("|"), folder.path.parent)


def test_a_cell_that_is_the_same_network_as_another_stands_for_that_ones_run(folder, sweep):
    folder.write_sweep(sweep.model_copy(update={"duplicates": (Duplicate(name="K3 again", same_as="K3"),)}))
    assert named_run(folder, "K3 again", 0) == folder.run(sweep.cells[0].runs[0])


def test_a_message_names_only_the_first_of_many_cells(folder, sweep):
    many = tuple(sweep.cells[0].model_copy(update={"name": f"cell {at}"}) for at in range(1000))
    folder.write_sweep(sweep.model_copy(update={"cells": many, "baseline": "cell 0"}))
    with pytest.raises(SklabError, match=r"cell 19 and 980 more - did you mean 'cell 77'\?$"):
        named_run(folder, "cel 77", 0)


@pytest.mark.usefixtures("sound")
def test_a_tuned_cell_is_the_one_at_the_setting_that_was_chosen_for_it(toy_files):
    (toy_files / "sweep.yaml").write_text(SWEEP)
    folder = StudyFolder(toy_files / "results" / "sweep")
    assert start(folder, Planted())
    assert named_run(folder, "plain", 0).read_order().cell == "plain, train.lr=0.02"
    assert named_run(folder, "plain, train.lr=0.05", 0).read_order().cell == "plain, train.lr=0.05"
    assert named_run(folder, "plain, train.lr=2e-1", FIRST_SEED).read_order().cell == "plain, train.lr=0.2"
