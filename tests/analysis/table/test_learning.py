"""Cells that learned nothing are known by their records."""

import pytest
from studies import make_record, make_records, make_sweep

from sklab.analysis.table.ablation import ablation_table
from sklab.analysis.table.learning import at_chance
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
