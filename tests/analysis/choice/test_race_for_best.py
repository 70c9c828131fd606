import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklab.analysis.choice.race import race_for_best
from sklab.spec.study.sweep import Replicates

RULE = Replicates(start=3, max=8, stop="best", runs=26)


def study(seed, levels=(0, 0.4, 1, 6), seeds=8):
    rng = np.random.default_rng(seed)
    return np.array(levels)[:, None] + rng.standard_normal((len(levels), seeds)) + rng.standard_normal(seeds)


def everything(values):
    return np.ones(values.shape, dtype=bool)


@given(st.integers(0, 10_000), st.integers(12, 26))
@settings(max_examples=12, deadline=None)
def test_a_study_that_was_stopped_makes_the_same_choices(seed, cut):
    """With any part of the runs that the whole study asked for, what is requested is a part of it."""
    values = study(seed)
    whole = race_for_best(values, everything(values), RULE)
    wanted = np.argwhere(np.arange(8) < whole.requested[:, None])
    ended = np.zeros(values.shape, dtype=bool)
    for cell, at in sorted(wanted.tolist(), key=lambda place: place[1])[:cut]:
        ended[cell, at] = True
    part = race_for_best(np.where(ended, values, np.nan), ended, RULE)
    assert (part.requested <= whole.requested).all()
    assert part.rounds <= whole.rounds


@given(st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_limits_are_kept_and_only_likely_cells_get_seeds(seed):
    values = study(seed)
    found = race_for_best(values, everything(values), RULE)
    assert found.over in ("found", "seeds", "runs")
    assert found.requested.sum() <= 26
    assert found.requested.min() == found.requested[3] == 3, "a cell 6 standard deviations above gets no more"
    assert found.requested.max() <= 8


def test_the_first_seeds_are_waited_for():
    values = study(0)
    ended = everything(values)
    ended[2, 1] = False
    assert race_for_best(values, ended, RULE).requested.tolist() == [3, 3, 3, 3]


def test_a_clear_best_cell_needs_no_more_seeds():
    values = study(0, (0, 9, 9, 9))
    found = race_for_best(values, everything(values), RULE)
    assert (found.over, found.rounds) == ("found", 0)


def test_runs_without_a_value_are_gaps():
    values = study(1)
    values[0, 1], values[3] = np.nan, np.nan
    found = race_for_best(values, everything(values), RULE)
    assert found.over
    assert found.requested[3] == 3


@pytest.mark.parametrize("values", [np.full((3, 8), 5.0), np.full((3, 8), np.nan)])
def test_without_spread_nothing_more_is_asked_for(values):
    found = race_for_best(values, everything(values), RULE)
    assert (found.over, found.requested.tolist()) == ("no spread", [3, 3, 3])
