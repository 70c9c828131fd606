"""Cells that learned nothing, or were still learning when they ended, are known by their records."""

import random

import pytest
from studies import make_record, make_records, make_sweep

from sklab.analysis.table.ablation import ablation_table
from sklab.analysis.table.learning import at_chance, last_fall
from sklab.spec.study.sweep import Metric

LAST, BEST = Metric(epoch="last"), Metric(epoch="best")
# The made studies have 10 classes and 2,000 images: of 1,000 sets 25 would be guessed with an error of 88.7 % or less.


def runs(*errors, **changes):
    return [make_record("K3", seed, error, **changes) for seed, error in enumerate(errors)]


@pytest.mark.parametrize(("errors", "found"), [((90.0, 89.0, 88.5), 90.0), ((88.4, 88.6), None), ((12.0,), None)])
def test_a_mean_error_that_guessing_could_have_is_at_chance_level(errors, found):
    assert at_chance(runs(*errors), LAST) == found


def test_more_runs_on_the_same_images_tell_no_more():
    assert at_chance(runs(*[89.2] * 50), LAST) == 90.0


def test_the_best_of_many_epochs_is_lower_by_chance_too():
    assert at_chance(runs(89.2, 89.3), BEST) is None, "one less at the best epoch, of three"
    assert at_chance(runs(89.2, 89.3, epochs=100), BEST) == 90.0


def test_a_record_knows_its_images_and_the_most_frequent_class():
    uneven = {"val_images": 1000, "guessing_error": 30.0}
    assert at_chance(runs(30.0, 29.0, **uneven), LAST) == 30.0
    assert at_chance(runs(26.0, 27.0, **uneven), LAST) is None


def test_an_error_is_looked_at_whatever_the_metric_is():
    assert at_chance(runs(90.0, 89.0), Metric(name="val_loss")) == 90.0
    assert at_chance(runs(90.0, last={"val_loss": 2.3}), Metric(name="val_loss")) is None


def test_only_what_has_a_number_is_judged():
    records = make_records({"K3": [20.0, 21.0], "K5": [90.0, 90.2], "K7": []})
    rows = ablation_table(make_sweep(["K3", "K5", "K7"], (0, 1)), records).rows
    assert [row.guessing for row in rows] == [None, 90.0, None]


def ending(*pairs):
    """Runs by the errors of their last two epochs."""
    return [
        make_record("K3", seed, now, previous={"val_error": was, "val_loss": 1.0})
        for seed, (was, now) in enumerate(pairs)
    ]


@pytest.mark.parametrize(
    ("pairs", "fall"),
    [
        ([(29.0, 17.0), (28.5, 18.2), (30.3, 21.3)], 10.43),  # K3 of the quickstart: 4 epochs
        ([(12.9, 13.0), (11.7, 11.6)], None),  # the same with 8
        ([(12.0, 11.6), (11.1, 9.5)], None),
        ([(5.3, 5.0), (5.3, 5.1), (5.2, 5.0)], None),  # the end of a cosine
        ([(24.0, 20.0), (15.0, 11.0)], None),  # the runs differ by more
        ([(36.0, 19.0)], 17.0),
        ([(20.0, 90.0)], None),
        ([(5.0, 0.0), (5.0, 0.0)], 5.0),
    ],
)
def test_a_cell_is_undertrained_where_its_error_still_falls_fast_at_the_end(pairs, fall):
    assert last_fall(ending(*pairs)) == (None if fall is None else pytest.approx(fall, abs=0.01))


def test_ups_and_downs_from_epoch_to_epoch_are_seldom_taken_for_learning():
    draw = random.Random(0).gauss
    told = [last_fall(ending(*((draw(10, 1), draw(10, 1)) for _ in range(3)))) is not None for _ in range(500)]
    assert sum(told) < 0.03 * len(told)


def test_records_of_older_versions_tell_nothing_of_it():
    assert last_fall([*runs(12.0, 13.0)]) is None
    assert last_fall([]) is None
    mixed = [*runs(12.0), *ending((40.0, 20.0))]
    assert last_fall(mixed) == 20.0
