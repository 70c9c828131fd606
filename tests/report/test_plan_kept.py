"""The plan of a study is dated before its first run and never written again."""

from __future__ import annotations

import json
from itertools import count, pairwise

import pytest
import studies
from hypothesis import given
from hypothesis import strategies as st

from sklab.spec.study.changes import changes_of_plan
from sklab.spec.study.questions import Question
from sklab.spec.study.search import Search
from sklab.spec.study.sweep import Cell, Metric, Replicates
from sklab.store.dated import keep_plan, read_plans
from sklab.store.study_folder import StudyFolder


@pytest.fixture
def study(tmp_path):
    return StudyFolder(tmp_path / "made")


@pytest.fixture
def clock():
    days = count(1)
    return lambda: f"2026-11-{next(days):02d}T08:00:00.000+00:00"


def test_the_same_plan_is_dated_once(study, clock):
    for _ in range(3):
        keep_plan(study, studies.make_sweep(), clock)
    (plan,) = read_plans(study).every
    assert plan.dated.startswith("2026-11-01")
    assert plan.sweep == studies.make_sweep()


def test_a_change_is_a_plan_of_its_own_and_the_first_stays_to_the_byte(study, clock):
    keep_plan(study, studies.make_sweep(), clock)
    first = (study.path / "plans" / "001.json").read_bytes()
    study.runs.mkdir()
    keep_plan(study, studies.make_sweep(seeds=range(6)), clock)
    keep_plan(study, studies.make_sweep(seeds=range(6), margin=1.0), clock)
    assert [plan.dated[:10] for plan in read_plans(study).every] == ["2026-11-01", "2026-11-02", "2026-11-03"]
    assert (study.path / "plans" / "001.json").read_bytes() == first


def test_a_study_that_has_runs_and_no_plan_gets_none(study, clock):
    study.runs.mkdir(parents=True)
    keep_plan(study, studies.make_sweep(), clock)
    assert read_plans(study).every == ()
    assert not (study.path / "plans").exists()


@pytest.mark.parametrize("damage", [lambda text: text.replace('"K5"', '"K6"'), lambda text: text[:40]])
def test_a_plan_that_was_changed_is_a_fault_and_is_not_replaced(study, clock, damage):
    keep_plan(study, studies.make_sweep(), clock)
    file = study.path / "plans" / "001.json"
    file.write_text(damaged := damage(file.read_text()))
    keep_plan(study, studies.make_sweep(), clock)
    plans = read_plans(study)
    assert file.read_text() == damaged
    assert [plan.dated[:10] for plan in plans.every] == ["2026-11-02"]
    assert len(plans.faults) == 1
    assert str(file) in plans.faults[0]


def test_no_number_is_given_twice_where_a_plan_was_deleted(study, clock):
    for seeds in (1, 2, 3):
        keep_plan(study, studies.make_sweep(seeds=range(seeds)), clock)
    (study.path / "plans" / "002.json").unlink()
    keep_plan(study, studies.make_sweep(seeds=range(4)), clock)
    assert sorted(file.name for file in (study.path / "plans").iterdir()) == ["001.json", "003.json", "004.json"]


def test_a_key_of_later_versions_is_a_fault_that_stops_nothing(study, clock):
    keep_plan(study, studies.make_sweep(), clock)
    file = study.path / "plans" / "001.json"
    tree = json.loads(file.read_text())
    tree["sweep"]["of_tomorrow"] = 1
    tree.pop("seal")
    file.write_text(json.dumps(tree))
    assert "of_tomorrow" in read_plans(study).faults[0]


QUESTION = Question(cells=("K5",), against=("K3",))
CHANGED = {
    "seeds 3 -> 6": {"seeds": range(6)},
    "seeds 0, 1, 2 -> 3, 4, 5": {"seeds": (3, 4, 5)},
    "cells added: K7": {"names": ("K3", "K5", "K7")},
    "cells removed: K5": {"names": ("K3",)},
    "margin: not set -> 1.5": {"margin": 1.5},
    "metric.epoch: last -> best": {"metric": Metric(epoch="best")},
    "baseline: K3 -> K5": {"baseline": "K5"},
    "question added: Is 5 better?": {"questions": {"Is 5 better?": QUESTION}},
}


@pytest.mark.parametrize("line", CHANGED)
def test_what_is_planned_otherwise_is_told(line):
    before = studies.make_sweep()
    assert changes_of_plan(studies.make_sweep(**CHANGED[line]), before) == (line,)
    assert changes_of_plan(before, before) == ()


def test_questions_are_told_by_their_names():
    asked = studies.make_sweep(questions={"Is 5 better?": QUESTION})
    other = studies.make_sweep(questions={"Is 5 better?": Question(cells=("K3",), against=("K5",))})
    assert changes_of_plan(other, asked) == ("question changed: Is 5 better?",)
    assert changes_of_plan(studies.make_sweep(), asked) == ("question removed: Is 5 better?",)


def test_a_setting_of_the_experiment_counts_only_where_it_makes_other_runs():
    before = studies.make_sweep()
    moved = {**studies.EXPERIMENT, "data": {"name": "image_folder", "root": "/elsewhere"}}
    assert changes_of_plan(before.model_copy(update={"experiment": moved}), before) == ()
    longer = {**studies.EXPERIMENT, "train": {**studies.EXPERIMENT["train"], "epochs": 9}}
    cells = tuple(cell.model_copy(update={"runs": dict.fromkeys(cell.runs, "0" * 16)}) for cell in before.cells)
    changed = before.model_copy(update={"experiment": longer, "cells": cells})
    assert changes_of_plan(changed, before) == ("cells with other settings: K3, K5", "train.epochs: 3 -> 9")


def test_with_replicates_the_rule_is_the_plan_and_not_the_most_seeds():
    before = studies.make_sweep(seeds=range(6), replicates=Replicates(start=3, max=6))
    now = studies.make_sweep(seeds=range(9), replicates=Replicates(start=3, max=9))
    assert changes_of_plan(now, before) == ("replicates.max: 6 -> 9",)


def test_cells_with_fewer_and_more_seeds_are_told_as_a_range():
    before = studies.make_sweep()
    more = before.cells[0].model_copy(update={"runs": {seed: f"{seed:016d}" for seed in range(9)}})
    now = before.model_copy(update={"cells": (more, before.cells[1])})
    assert changes_of_plan(now, before)[0] == "seeds 3 -> 3 to 9"


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_as_many_plans_as_there_were_changes(tmp_path_factory, seeds):
    study = StudyFolder(tmp_path_factory.mktemp("plans") / "made")
    for number in seeds:
        keep_plan(study, studies.make_sweep(seeds=range(number)), lambda: "2026-11-28")
    changes = sum(now != before for before, now in pairwise(seeds))
    assert len(read_plans(study).every) == 1 + changes


def test_cells_that_a_search_finds_were_not_planned_one_by_one():
    search = Search(sampler="random", trials=3)
    before = studies.make_sweep(["K3"], design="search", search=search)
    found = (*before.cells, Cell(name="K9", runs={0: "f" * 16}))
    assert changes_of_plan(before.model_copy(update={"cells": found}), before) == ()
