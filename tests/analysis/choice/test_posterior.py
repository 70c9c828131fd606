import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklab.analysis.choice.posterior import Draws, best_cell, posterior

ERROR = 0.03  # of a probability from as many draws as a report takes, with room


def table(levels, seeds=3, seed=0, seed_sd=1.0):
    rng = np.random.default_rng(seed)
    errors = rng.standard_normal((len(levels), seeds)) + seed_sd * rng.standard_normal(seeds)
    return np.array(levels, dtype=float)[:, None] + errors


def test_a_cell_far_below_the_others_is_the_best_and_keeps_its_mean():
    values = table([20, 20.5, 8, 21, 19.5])
    found = best_cell(values)
    assert found.best[2] > 0.99
    assert found.mean[2] == pytest.approx(values[2].mean(), abs=0.5)


def test_equal_cells_share_the_chance_and_one_mean():
    found = best_cell(table([10] * 8, seed=5))
    assert found.best.max() < 0.5
    assert np.ptp(found.mean) < 0.2 < np.ptp(table([10] * 8, seed=5).mean(1))


def test_cells_that_fail_do_not_hide_that_the_good_ones_are_equal():
    """Four cells 20 standard deviations above leave the seven others as alike as they were alone."""
    good = table([10] * 7, seed=1)
    both = best_cell(np.concatenate([good, table([30, 31, 34, 40], seed=2)]))
    lowest = good.mean(1).argmin()
    assert both.mean[lowest] - good[lowest].mean() > 0.5 * (good.mean() - good[lowest].mean())
    assert both.best[7:].max() == 0


def test_the_lowest_mean_is_drawn_towards_the_others():
    values = table(np.random.default_rng(4).standard_normal(11), seed=4)
    found, lowest = best_cell(values), values.mean(1).argmin()
    assert values[lowest].mean() < found.mean[lowest] < values.mean()


@given(st.integers(0, 10_000), st.floats(-1e4, 1e4), st.floats(1e-3, 1e3))
@settings(max_examples=15, deadline=None)
def test_unit_and_zero_of_the_values_change_nothing(seed, shift, scale):
    values = table([0, 1, 2, 4], seed=seed)
    found, moved = (posterior(of[None], Draws(8, 10, 10)) for of in (values, shift + scale * values))
    assert moved.best == pytest.approx(found.best, abs=0.15)  # rounding may turn single draws
    assert moved.mean == pytest.approx(shift + scale * found.mean, abs=0.5 * scale)


@given(st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_chances_add_up_and_follow_the_cells(seed):
    values = table([0, 0.5, 1, 3], seed=seed)
    found, turned = best_cell(values), best_cell(values[::-1])
    assert found.best.sum() == pytest.approx(1)
    assert turned.best[::-1] == pytest.approx(found.best, abs=2 * ERROR)


def test_the_same_values_give_the_same_answer():
    first, second = best_cell(table([0, 1, 2])), best_cell(table([0, 1, 2]))
    assert (first.best == second.best).all()
    assert (first.mean == second.mean).all()


def test_missing_runs_make_a_cell_less_certain_and_a_cell_without_runs_has_no_chance_at_all():
    values = table([0, 2, 2, 2, 9], seeds=6, seed_sd=0.1)
    values[0, 1:], values[4] = np.nan, np.nan
    found = best_cell(values)
    assert np.isnan(found.best[4])
    assert np.isnan(found.mean[4])
    assert found.best[:4].sum() == pytest.approx(1)
    assert found.best[0] < best_cell(table([0, 2, 2, 2], seeds=6, seed_sd=0.1)).best[0]


def test_seeds_that_move_all_cells_alike_do_not_blur_which_is_the_best():
    quiet = best_cell(table([0, 3, 3, 3], seeds=4, seed_sd=0.0)).best[0]
    shared = best_cell(table([0, 3, 3, 3], seeds=4, seed_sd=20.0)).best[0]
    assert shared > quiet - 0.1


@pytest.mark.parametrize("values", [np.ones((3, 3)), np.ones((3, 1)), np.full((2, 3), np.nan), np.ones((0, 3))])
def test_without_spread_nothing_is_said(values):
    found = best_cell(values)
    assert len(found.best) == len(found.mean) == len(values)
    assert np.isnan(found.best).all()
    assert np.isnan(found.mean).all()


def test_hundreds_of_cells_take_seconds():
    found = best_cell(table(np.linspace(0, 50, 300)))
    assert found.best.sum() == pytest.approx(1)
    assert found.best[:30].sum() > 0.99
