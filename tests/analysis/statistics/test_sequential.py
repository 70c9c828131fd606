import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from sklab.analysis.statistics.boundaries import nominal_levels
from sklab.analysis.statistics.sequential import race, race_of_questions
from sklab.spec.study.sweep import Replicates

RULE = Replicates(start=3, max=8)


def study(seed, cells=4, effects=(), seeds=8):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((cells, seeds)) + 3 * rng.standard_normal(seeds)
    values[1 : 1 + len(effects)] += np.array(effects).reshape(-1, 1)
    return values


def everything(values):
    return np.ones(values.shape, dtype=bool)


def test_boundaries_spend_alpha_over_the_looks():
    """By simulation of the sums themselves: 200,000 walks, each looked at after every step from the third on."""
    levels = np.array(nominal_levels(3, 8, 0.05))
    assert (np.diff(levels) > 0).all()
    assert levels[-1] < 0.05
    walks = np.random.default_rng(0).standard_normal((200_000, 8)).cumsum(1) / np.sqrt(np.arange(1, 9))
    crossed = (2 * ndtr(-np.abs(walks[:, 2:])) < levels).any(1)
    assert crossed.mean() == pytest.approx(0.05, abs=0.0015)


def test_boundaries_are_those_of_the_literature():
    """Five looks, 0.05 two-sided, O'Brien-Fleming type: Lan and DeMets 1983, as printed by every program since."""
    published = [4.877, 3.357, 2.680, 2.290, 2.031]  # of the normal statistic
    assert -ndtri(np.array(nominal_levels(1, 5, 0.05)) / 2) == pytest.approx(published, abs=2e-3)


@given(st.integers(0, 10_000), st.integers(3, 8))
@settings(max_examples=30, deadline=None)
def test_a_look_is_not_changed_by_what_comes_after_it(seed, cut):
    """A study stopped after `cut` seeds and one that went on say the same of every look until then."""
    values = study(seed, effects=(4.0, 1.5))
    ended = np.broadcast_to(np.arange(8) < cut, values.shape)
    part = race(np.where(ended, values, np.nan), ended, 0, RULE)
    whole = race(values, everything(values), 0, RULE)
    assert len(part.looks) <= len(whole.looks)
    settled = part.decided_at > 0
    assert (part.verdict[settled] == whole.verdict[settled]).all()
    assert (part.decided_at[settled] == whole.decided_at[settled]).all()
    assert (part.requested <= np.minimum(whole.requested, cut + 1)).all()


@given(st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_studies_side_by_side_are_studies_one_by_one(seed):
    values = np.stack([study(seed + at, effects=(3.0, 1.5)) for at in range(3)])
    together = race(values, everything(values), 0, RULE)
    for at in range(3):
        alone = race(values[at], everything(values[at]), 0, RULE)
        assert (alone.verdict == together.verdict[at]).all()
        assert (alone.requested == together.requested[at]).all()


def test_large_differences_are_settled_early_with_their_sign_and_the_baseline_goes_on_for_the_others():
    values = study(1, effects=(30.0, -30.0, 1.2))
    found = race(values, everything(values), 0, RULE)
    assert list(found.verdict[:3]) == ["", "worse", "better"]
    assert max(found.decided_at[1:3]) <= 5
    assert found.requested[0] == found.requested.max()
    look = found.looks[int(found.decided_at[1]) - 3]
    assert look.p[1] < look.level[1]
    assert abs(look.difference[1] - 30) < 3
    assert look.half[1] < 30


@pytest.mark.parametrize(("runs", "seeds"), [(None, 8), (12, 4)])
def test_numbers_without_any_spread_are_no_test(runs, seeds):
    values = np.full((3, 8), 20.0)
    values[1] = 21.0
    found = race(values, everything(values), 0, RULE.model_copy(update={"runs": runs}))
    assert list(found.verdict) == ["", "no test", "no test"]
    assert list(found.decided_at) == [0, seeds, seeds]


def test_a_cell_that_equals_the_baseline_run_by_run_is_tested_where_others_show_a_spread():
    values = study(2, cells=3)
    values[1] = values[0]
    found = race(values, everything(values), 0, RULE)
    assert (found.looks[0].p[1], found.verdict[1], found.decided_at[1]) == (1.0, "out of reach", 3)


def test_an_interval_narrower_than_the_width_settles_a_cell_as_equal_only_where_nothing_is_told():
    values = study(3, effects=(30.0, 0.0, 0.0))
    wide = race(values, everything(values), 0, RULE.model_copy(update={"width": 1000.0}))
    assert list(wide.verdict[2:]) == ["equal within width"] * 2
    assert list(wide.requested[2:]) == [3, 3]


def test_with_a_width_no_cell_is_given_up_before_its_interval_is_narrow():
    values = study(3, cells=2)
    assert race(values, everything(values), 0, RULE).verdict[1] == "out of reach"
    wide = RULE.model_copy(update={"width": 1e-3})
    assert race(values, everything(values), 0, wide).verdict[1] == "undecided"


def test_a_gap_holds_nothing_up_and_a_run_that_has_not_ended_does():
    values = study(4, effects=(2.0, 2.0))
    values[1, 2] = np.nan
    assert race(values, everything(values), 0, RULE).requested[1] > 3
    ended = everything(values)
    ended[1, 2] = False
    waiting = race(values, ended, 0, RULE)
    assert (waiting.looks, set(waiting.requested)) == ((), {3})


ATTENTION = np.array([[-0.5, 0.5, -0.5, 0.5, 0, 0], [0, 0, 0, 0, -1, 1.0]])


def test_cells_get_seeds_while_a_question_about_them_is_open():
    values = study(3, cells=6, effects=(12.0, 0.0, 12.0))
    done = race_of_questions(values, everything(values), ATTENTION, RULE)
    assert done.verdict[0] == "worse"
    assert done.decided_at[0] < 8
    assert (done.requested[:4] == done.decided_at[0]).all()
    assert (done.requested[4:] == done.decided_at[1]).all()


def test_cells_of_no_question_keep_their_first_seeds():
    values = study(3, cells=6)
    done = race_of_questions(values, everything(values), ATTENTION[:1], RULE)
    assert (done.requested[4:] == RULE.start).all()
    assert len(done.verdict) == 1


def test_a_question_waits_for_all_its_runs():
    values, ended = study(3, cells=6), everything(study(3, cells=6))
    ended[1, 2] = False
    waiting = race_of_questions(values, ended, ATTENTION, RULE)
    assert waiting.looks == ()
    assert waiting.racing.all()


def test_cells_against_the_baseline_are_questions_of_single_pairs():
    """The same verdicts, but for the baseline's place."""
    values = study(5, effects=(6.0,))
    pairs = np.hstack([-np.ones((3, 1)), np.eye(3)])
    of_cells, of_pairs = (
        race(values, everything(values), 0, RULE),
        race_of_questions(values, everything(values), pairs, RULE),
    )
    assert of_pairs.verdict.tolist() == of_cells.verdict[1:].tolist()
    assert of_pairs.requested.tolist() == of_cells.requested.tolist()
