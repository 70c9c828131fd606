"""The rules by which runs are pruned, as properties."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sklab.spec.study.search import Pruning
from sklab.spec.study.sweep import Metric
from sklab.store.run_folder import RunFolder
from sklab.sweep.run.pruning import Curve, read_values, verdict

MEDIAN = Pruning(rule="median", start=2, peers=2)
HALVING = Pruning(rule="halving", start=1, factor=2)
errors = st.floats(0, 100) | st.just(math.nan)
curves = st.builds(
    Curve,
    cell=st.sampled_from("abcd"),
    seed=st.integers(0, 1),
    values=st.lists(errors, max_size=9).map(tuple),
    cost=st.sampled_from([1.0, 2.0, 3.0]),
    complete=st.booleans(),
)
rules = st.builds(Pruning, rule=st.just("median"), start=st.integers(1, 4), peers=st.integers(1, 3)) | st.builds(
    Pruning, rule=st.just("halving"), start=st.integers(1, 4), factor=st.integers(2, 4)
)


def curve(cell: str, *values: float, **fields: object) -> Curve:
    return Curve(cell, 0, values, complete=True, **fields)


@given(rules, curves, st.lists(curves, max_size=12))
def test_a_run_that_nothing_as_cheap_is_better_than_goes_on(rule, run, others):
    peers = [one for one in others if one.cost <= run.cost and one.cell != run.cell and one.seed == run.seed]
    better = any(
        one.at(epoch) < run.at(epoch) for one in peers for epoch in range(1, 1 + min(len(run.values), len(one.values)))
    )
    if not better:
        assert verdict(rule, run, others) == ""


@given(rules, curves, st.lists(curves, max_size=12), st.randoms())
def test_the_order_of_the_others_and_those_that_do_not_count_change_nothing(rule, run, others, random):
    counting = [one for one in others if one.cost <= run.cost and one.cell != run.cell and one.seed == run.seed]
    random.shuffle(others)
    assert verdict(rule, run, others) == verdict(rule, run, counting)


@given(rules, curves, st.lists(curves, max_size=12), st.floats(0, 100))
def test_a_run_that_is_ended_would_be_ended_with_a_larger_error_too(rule, run, others, more):
    if verdict(rule, run, others):
        assert verdict(rule, replace(run, values=tuple(value + more for value in run.values)), others)


@given(rules, curves, st.lists(curves, max_size=12))
def test_where_higher_is_better_the_mirror_images_are_ended(rule, run, others):
    def mirrored(one: Curve) -> Curve:
        return replace(one, values=tuple(-value for value in one.values), sign=-1)

    why, mirror = verdict(rule, run, others), verdict(rule, mirrored(run), map(mirrored, others))
    assert bool(mirror) == bool(why)
    assert mirror.replace("-", "") == why.replace("-", "")


@given(rules, curves, st.lists(curves, max_size=12))
def test_before_its_first_epoch_is_due_nothing_is_ended(rule, run, others):
    assert verdict(rule, replace(run, values=run.values[: rule.start - 1]), others) == ""


def test_the_median_is_that_of_complete_runs_at_the_same_epoch():
    others = [curve("a", 9, 5, 1), curve("b", 9, 7, 2), Curve("c", 0, (0, 0))]
    assert verdict(MEDIAN, curve("x", 0, 6), others) == ""
    assert verdict(MEDIAN, curve("x", 0, 6.5), others) == "at epoch 2: 6.5, worse than 6, the median of 2 runs"
    assert verdict(MEDIAN, curve("x", 0, math.nan), others).startswith("at epoch 2: inf, worse than 6")
    assert verdict(MEDIAN, curve("x", 99), others) == "", "too early"
    assert verdict(MEDIAN, curve("x", 0, 99), others[:1]) == "", "too few"


def test_halving_keeps_the_best_of_those_that_came_to_the_newest_rung():
    others = [Curve("a", 0, (4, 3, 2, 1)), Curve("b", 0, (1, 9, 9, 9)), Curve("c", 0, (2,))]
    assert verdict(HALVING, curve("x", 2), others) == ""
    told = "at epoch 1: 3, not among the best 2 of the 4 runs that came so far"
    assert verdict(HALVING, curve("x", 3), others) == told
    assert verdict(HALVING, curve("x", 9, 4, 9), others).startswith("at epoch 2: 4, not among the best 1 of the 3")
    assert verdict(HALVING, curve("x", 9, 2, 9), others) == "", "between two rungs the older one counts"
    assert verdict(HALVING, curve("x", 9), []) == "", "alone there is nothing to choose from"


def test_of_two_objectives_only_what_costs_no_more_is_compared():
    dear = [curve("a", 1, 1, cost=3.0), curve("b", 1, 1, cost=3.0)]
    assert verdict(MEDIAN, curve("x", 9, 9, cost=2.0), dear) == ""
    assert verdict(MEDIAN, curve("x", 9, 9, cost=3.0), dear)
    assert verdict(HALVING, curve("x", 9, 9, cost=2.0), dear) == ""
    assert verdict(HALVING, curve("x", 9, 9, cost=3.0), dear)


def test_curves_follow_the_rule_of_the_epoch(tmp_path):
    run = RunFolder(tmp_path)
    assert read_values(run, Metric()) == ()
    run.metrics_file.write_text("epoch,val_loss,val_error\n1,0.5,20\n2,0.1,30\n3,0.7,10\n")
    assert read_values(run, Metric(name="val_loss")) == (0.5, 0.1, 0.7)
    assert read_values(run, Metric(name="val_loss", epoch="best")) == (0.5, 0.5, 0.7)
    run.metrics_file.write_text("epoch,val_loss,val_error\n1,0.5,20\n2,0.")
    assert read_values(run, Metric()) == (20.0,), "a torn line is read at the next look"


def test_a_run_with_as_many_wrong_images_as_one_of_an_older_version_is_not_worse():
    older = [curve("a", 19.899999618530273, 19.899999618530273), curve("b", 19.899999618530273, 19.899999618530273)]
    assert verdict(MEDIAN, curve("x", 19.9, 19.9), older) == ""
    assert verdict(HALVING, curve("x", 19.9), older[:1]) == ""
    assert verdict(HALVING, curve("x", 20.0), older[:1]).startswith("at epoch 1: 20, not among the best 1")
