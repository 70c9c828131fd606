"""Planned contrasts: against textbook answers where there are such, and by what must not change them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sklab.analysis.statistics import blocks
from sklab.analysis.statistics.contrasts import (
    contrasts,
    detectable,
    disagreement,
    family,
    one_by_one,
)
from sklab.analysis.statistics.dunnett import critical_of, exceedance, exceedance_of

PAIR = [[-1.0, 1.0, 0, 0, 0, 0]]
PAIRS = [[-1.0, 1.0, 0, 0, 0, 0], [0, 0, -1.0, 1.0, 0, 0], [0, 0, 0, 0, -1.0, 1.0]]
MEAN = [np.mean(PAIRS, axis=0)]


def table(seed=0, cells=6, seeds=4, seed_sd=5.0):
    rng = np.random.default_rng(seed)
    return 20 + rng.standard_normal((cells, seeds)) + seed_sd * rng.standard_normal(seeds)


def test_the_estimate_is_the_difference_of_means_whatever_the_seeds_do():
    values = table()
    means = values.mean(1)
    (answer,) = family(values, MEAN)
    assert answer.difference == pytest.approx(np.mean(means[1::2] - means[::2]))
    shifted = values + 100 * np.arange(4)
    assert family(shifted, MEAN)[0].half == pytest.approx(answer.half)


def test_two_cells_alone_are_the_paired_t_test():
    values = table(cells=2)
    judged = contrasts(values, np.array([[-1.0, 1.0]]))
    paired = stats.ttest_rel(values[1], values[0])
    assert judged.estimate[0] / judged.error[0] == pytest.approx(paired.statistic)
    assert judged.df[0] == 3.0


def test_with_equal_residuals_the_error_is_the_pooled_one():
    """Where all cells have the same residual squares their own variances are the common one."""
    signs = np.array([[1, -1, 0, 0], [0, 0, 1, -1], [-1, 1, 0, 0], [0, 0, -1, 1], [1, -1, 0, 0], [-1, 1, 0, 0]], float)
    signs -= signs.mean(0)
    values = signs + np.arange(6)[:, None] + np.arange(4)
    fitted = blocks.fit(values)
    judged = contrasts(values, np.array(MEAN))
    equal = np.isclose(fitted.squares, fitted.squares[0]).all()
    expected = np.sqrt((np.array(MEAN[0]) ** 2 * fitted.squares / (3 * 5 / 6)).sum() / 4)
    assert judged.error[0] == pytest.approx(expected)
    assert equal or judged.df[0] <= 15


def test_a_single_pair_has_the_rule_of_the_table():
    values = table()
    errors = blocks.standard_errors(values, 0)
    (answer,) = one_by_one(values, PAIR)
    assert answer.df == pytest.approx(float(errors.df))
    assert answer.half == pytest.approx(stats.t.ppf(0.975, answer.df) * errors.error[1], rel=1e-6)


def test_a_question_asked_alone_is_sharper_than_in_a_family():
    values = table()
    alone, together = family(values, MEAN)[0], family(values, [*MEAN, *PAIRS])[0]
    assert alone.p == pytest.approx(together.p)
    assert alone.adjusted == pytest.approx(alone.p)
    assert together.adjusted > together.p
    assert together.half > alone.half
    assert together.half < alone.half * stats.t.ppf(1 - 0.025 / 4, alone.df) / stats.t.ppf(0.975, alone.df)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.01, 1000), st.permutations(range(6)), st.permutations(range(4)), st.integers(0, 50))
def test_scale_and_order_of_cells_and_seeds_change_nothing(scale, cells, seeds, number):
    values, weights = table(number), np.array([*MEAN, *PAIRS])
    values[1, 2] = np.nan
    first = family(values, weights)
    moved = family(scale * values[cells][:, seeds], weights[:, cells])
    for one, other in zip(first, moved, strict=True):
        assert other.difference == pytest.approx(scale * one.difference, rel=1e-9, abs=1e-9 * scale)
        assert other.half == pytest.approx(scale * one.half, rel=2e-3)
        assert other.adjusted == pytest.approx(one.adjusted, abs=2e-3)


def test_a_missing_run_is_a_gap_in_the_fit():
    """Against the least squares of the additive model, by hand."""
    values = table()
    values[1, 2] = values[4, 0] = np.nan
    cell, seed = np.nonzero(~np.isnan(values))
    design = np.hstack([cell[:, None] == np.arange(6), seed[:, None] == np.arange(1, 4)]).astype(float)
    fitted = np.linalg.lstsq(design, values[cell, seed], rcond=None)[0][:6]
    assert family(values, MEAN)[0].difference == pytest.approx(float(np.dot(MEAN[0], fitted)))


def test_a_cell_with_one_run_leaves_an_estimate_without_a_test():
    values = table()
    values[1, 1:] = np.nan
    (answer,) = family(values, PAIR)
    assert np.isfinite(answer.difference)
    assert (answer.n, answer.reason) == (1, "fewer than two seeds to compare")
    assert np.isnan(answer.adjusted)


def test_equal_values_have_no_test():
    (answer,) = family(np.arange(6.0)[:, None] + np.arange(4.0), MEAN)
    assert answer.reason.startswith("no spread")


def test_pairs_disagree_where_one_differs_from_the_rest():
    values = table(seeds=5)
    assert disagreement(values, PAIRS) > 0.05
    values[1] += 8
    assert disagreement(values, PAIRS) < 0.001
    assert np.isnan(disagreement(values, PAIRS[:1]))


def test_what_a_study_will_find_scales_with_the_spread_and_falls_with_seeds():
    three, six = (detectable(np.ones((6, seeds)), [*MEAN, *PAIRS], 1.5) for seeds in (3, 6))
    assert detectable(np.ones((6, 3)), [*MEAN, *PAIRS], 3.0) == pytest.approx(2 * three)
    assert (six < three).all()
    assert three[0] < three[1]


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("df", [2.5, 9.0, 30.0])
def test_the_multivariate_t_is_dunnetts_where_all_correlations_are_equal(correlation, df):
    matrix = np.full((5, 5), correlation) + (1 - correlation) * np.eye(5)
    for t in (1.5, 2.5, 4.0):
        assert exceedance_of(t, df, matrix) == pytest.approx(float(exceedance(t, 5, df, correlation)), abs=3e-4)


def test_the_multivariate_t_is_that_of_scipy_for_any_correlations():
    matrix = np.array([[1, 0.3, -0.7], [0.3, 1, -0.2], [-0.7, -0.2, 1]])
    outside = 1 - stats.multivariate_t(shape=matrix, df=7, seed=1).cdf([2.5] * 3, lower_limit=[-2.5] * 3)
    assert exceedance_of(2.5, 7, matrix) == pytest.approx(outside, abs=3e-4)
    assert exceedance_of(critical_of(7, matrix), 7, matrix) == pytest.approx(0.05, abs=2e-4)


def test_statistics_that_are_the_same_count_once():
    same = np.ones((2, 2))
    assert exceedance_of(2.5, 7, same) == pytest.approx(2 * stats.t.sf(2.5, 7), abs=2e-4)


def test_questions_of_which_one_follows_from_the_others_have_their_power():
    """Two groups against a third cell, and each other: the correlation of these questions is singular."""
    groups = [[-1, 0.25, 0.25, 0.25, 0.25, 0, 0], [-1, 0, 0, 0, 0, 0.5, 0.5], [0, -0.25, -0.25, -0.25, -0.25, 0.5, 0.5]]
    found = detectable(np.ones((7, 3)), [*groups, [0, -1, 0, 0, 0, 1, 0]], 1.0)
    assert found[2] < min(found[0], found[1], found[3])  # the most runs
    assert (found > 0).all()
