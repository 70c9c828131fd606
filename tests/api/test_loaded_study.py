"""A study in Python shows what its files hold, and says what they lack."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import attended
import pandas as pd
import pytest
import torch
from example_study import NASTY, hostile, kernels
from pages import read
from studies import key_of, make_records, make_sweep, write_study

import sklab
from sklab.analysis.statistics.intervals import ALPHA
from sklab.analysis.table.ablation import ablation_table
from sklab.errors import SklabError
from sklab.report.build import build
from sklab.report.escape import clean
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.training.run import train

EXAMPLE = Path(__file__).parents[2] / "results" / "example"


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """A folder with two studies: `example`, as it ships, and `kernels`, of which runs failed, diverged and lack."""
    folder = tmp_path_factory.mktemp("results")
    shutil.copytree(EXAMPLE, folder / "example")
    write_study(folder / "kernels", *kernels())
    return folder


@pytest.fixture(scope="module")
def example(results) -> sklab.Study:
    return sklab.load("example", results=results)


def test_a_study_is_loaded_by_its_name_or_its_path(results, monkeypatch):
    assert sklab.load(results / "kernels").name == sklab.load("kernels", results).name == "kernels"
    monkeypatch.chdir(results.parent)
    assert sklab.load(f"{results.name}/kernels").path == Path(results.name, "kernels")
    with pytest.raises(SklabError, match=r"kernel is no study: it has no sweep.yaml; studies there: example, kernels"):
        sklab.load("kernel", results)


def test_runs_csv_holds_the_runs(results):
    build(results / "kernels")
    runs, read = sklab.load("kernels", results).runs, pd.read_csv(results / "kernels" / "runs.csv")
    assert read["key"].tolist() == runs["key"].tolist()
    assert [*read] == [*runs]
    pd.testing.assert_series_equal(read["val_error"], runs["val_error"], check_exact=True)
    assert set(runs["status"]) == {"complete", "failed", "diverged", "waiting"}


def test_the_frames_of_a_study_agree_with_each_other(example):
    complete = example.runs[example.runs["status"] == "complete"]
    by_cell = complete.groupby("cell")
    assert by_cell["val_error"].mean().reindex(example.table.index).tolist() == pytest.approx(example.table["mean"])
    assert by_cell["test_error"].mean().reindex(example.table.index).tolist() == pytest.approx(
        example.table["test_mean"]
    )
    last = example.curves.groupby("key").last()["val_error"]
    assert complete.set_index("key")["val_error"].to_dict() == last.to_dict()
    wrong = 100 * example.images().groupby("key")["wrong"].mean()
    assert wrong.to_dict() == pytest.approx(last.to_dict())


def test_the_table_is_that_of_the_file_unrounded(example):
    written = pd.read_csv(example.path / "table.csv", index_col="cell")
    assert [*written] == [*example.table]
    assert example.table["vs_baseline_p"]["K5"] == pytest.approx(written["vs_baseline_p"]["K5"], rel=1e-5)
    assert example.table["vs_baseline_p"]["K5"] != written["vs_baseline_p"]["K5"]


def test_a_line_is_a_question_with_its_interval_and_its_sentence(example):
    questions = example.questions
    planned = questions[questions["planned"]]
    assert [*planned.index] == ["a 3x3 branch", "a branch that sees 5x5", "a branch that sees 7x7",
                                "attention over the branches"]  # fmt: skip
    assert ((questions["low"] <= questions["estimate"]) & (questions["estimate"] <= questions["high"])).all()
    assert (planned["p"] < ALPHA).tolist() == [True, True, True, False]
    assert planned["verdict"].tolist() == ["lower", "lower", "lower", "equivalent"]
    assert all(sentence in example.answer for sentence in planned["sentence"])


def test_a_study_of_which_nothing_is_complete_can_be_asked_all_the_same(tmp_path):
    study = sklab.load(write_study(tmp_path / "made", make_sweep(), {}))
    assert study.answer == "No run is complete yet, so there is nothing to compare."
    assert study.runs["status"].unique().tolist() == ["waiting"]
    assert study.curves.empty
    assert study.table["n"].tolist() == [0, 0]
    with pytest.raises(SklabError, match="none of these runs is complete and keeps what it made of each image"):
        study.images()
    assert repr(study).startswith(f"Study {study.path}: 0 of 6 runs complete, 6 waiting\n")


def test_a_notebook_shows_the_answer_and_the_table(example):
    page = read(example._repr_html_())
    assert "kernels: 36 of 36 runs complete" in page.text
    assert example.answer in page.text
    assert all(name in page.text for name in example.table.index)
    assert "10.47" in page.text
    assert page.tags <= {"div", "style", "p", "b", "table", "caption", "thead", "tbody", "tr", "th", "td", "span"}


def test_hostile_names_make_no_markup_in_a_notebook(tmp_path, monkeypatch):
    table = ablation_table(*hostile())
    monkeypatch.setattr("sklab.report.build.study_table", lambda _: table)
    study = sklab.load(tmp_path)
    page = read(study._repr_html_())
    assert page.tags <= {"div", "style", "p", "b", "table", "caption", "thead", "tbody", "tr", "th", "td", "span"}
    assert (page.handlers, page.links) == ([], [])
    assert all(clean(name) in page.text for name in NASTY)
    assert clean(page.text.replace("\n", " ")) == " ".join(page.text.split())
    assert "\x1b" not in repr(study)


def test_to_load_a_study_is_a_look_at_it(results):
    shutil.copytree(EXAMPLE, results / "unseen")
    (results / "unseen" / "looks.json").unlink()
    sklab.load("unseen", results)
    assert len(json.loads((results / "unseen" / "looks.json").read_text())["looks"]) == 1


def test_images_are_those_of_the_chosen_runs_with_their_true_classes(example):
    images = example.images("K3+K5 SK", 1, classes=True)
    assert len(images) == 2000
    assert images["image"].tolist() == [*range(2000)]
    assert set(images["class"]) == set("0123456789")
    assert 100 * images["wrong"].mean() == pytest.approx(10.15)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda study: study.model("K3+K5 S"), "no cell 'K3+K5 S'; its cells: K3, K5, .* did you mean 'K3.K5 SK'"),
        (lambda study: study.model("K3", 9), "seed: found 9; allowed for K3 of kernels: 0, 1, 2, 3, 4, 5"),
        (
            lambda study: study.model("K3"),
            "K3, seed 0: no weights .*weights.pt.: they were deleted.* run the sweep again",
        ),
        (lambda study: study.images("K9"), "no cell 'K9'; its cells: K3"),
        (lambda study: study.images("K5", 7), "seed: found 7; allowed: 0, 1, 2"),
        (lambda study: study.attention, "no run was analysed; `sklab analyze .*example` does it"),
    ],
)
def test_what_there_is_not_is_told_with_what_there_is(example, ask, said):
    with pytest.raises(SklabError, match=said.replace("K3+K5 S'", r"K3\+K5 S'")):
        ask(example)


def test_attention_is_that_of_all_images_and_of_each_class(tmp_path):
    folder = StudyFolder(write_study(tmp_path / "made", make_sweep(["K3"], (0, 1)), make_records({"K3": [9.0, 8.0]})))
    run = folder.run(key_of("K3", 1))
    run.analysis_file.write_text(json.dumps(attended.analysis(run.path.name, seed=1)))
    shares = sklab.load(folder.path).attention
    assert (set(shares["cell"]), set(shares["seed"]), set(shares["key"])) == ({"K3"}, {1}, {run.path.name})
    all_images = shares[shares["class"].isna()]
    assert len(all_images) == len(attended.UNITS) * len(attended.SCALES) * 2
    assert all_images.groupby(["unit", "enlargement"])["share"].sum().tolist() == pytest.approx([1.0] * 9)
    assert all_images["kernel"].tolist() == [3] * 3 + [5] * 3 + [3] * 3 + [5] * 3 + [3] * 3 + [5] * 3
    of_classes = shares[(shares["unit"] == "SK_2_1") & (shares["enlargement"] == 1.0) & (shares["branch"] == 1)]
    assert of_classes.dropna(subset="class").set_index("class")["share"].to_dict() == {"0": 0.6, "1": 0.5, "2": 0.55}


def test_a_model_is_the_trained_network(tmp_path, toy_order):
    order = toy_order()
    sweep = make_sweep(["cell"], (0, 1))
    (cell,) = sweep.cells
    sweep = sweep.model_copy(update={"cells": (cell.model_copy(update={"runs": {0: order.key, 1: "begun"}}),)})
    study = write_study(tmp_path / "toy", sweep, {})
    for key in (order.key, "begun"):
        RunFolder(study / "runs" / key).write_order(order)
    train(order, RunFolder(study / "runs" / order.key), torch.device("cpu"))
    state = torch.random.get_rng_state()
    network = sklab.load(study).model("cell")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not network.training
    kept = torch.load(study / "runs" / order.key / "weights.pt", weights_only=True)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in network.state_dict().items())
    with pytest.raises(SklabError, match="cell, seed 0: no trained network; the run is not ended"):
        sklab.load(study).model("cell", 1)
