import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import simulated_further as simulated
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from sklab.analysis.statistics import blocks, intervals, unpaired
from sklab.analysis.statistics.compare import compare, means

draws = st.integers(0, 10_000)


def table(draw, cells=5, seeds=4, runs=9, seed_sd=0.0):
    """(cells, runs): the baseline, row 0, has all seeds, the others the first ones."""
    rng = np.random.default_rng(draw)
    values = rng.normal(20, 1, (cells, runs)) + rng.normal(0, seed_sd, runs)
    values[1:, seeds:] = np.nan
    return values


def table_with(counts, **shape):
    """The first table whose further runs count, or do not."""
    return next(of for of in (table(draw, **shape) for draw in range(100)) if judged(of).counts == counts)


def judged(values):
    return compare(values, 0, further=True).choice.further


@given(draws, st.integers(2, 6), st.integers(2, 6))
@settings(max_examples=20, deadline=None)
def test_without_further_runs_nothing_changes(draw, cells, seeds):
    values = table(draw, cells, seeds, seeds)
    values[np.random.default_rng(draw).random(values.shape) < 0.1] = np.nan
    values[:2] = np.nan_to_num(values[:2], nan=20.5)
    assert str(compare(values, 0, further=True)) == str(compare(values, 0))


def test_further_runs_that_nobody_asked_for_are_left_out_as_before():
    values = table_with(True)
    of_shared, found = compare(values[:, :4], 0), compare(values, 0)
    assert found.choice.further is None
    assert [row.half for row in found.rows[1:]] == pytest.approx([row.half for row in of_shared.rows[1:]])


def test_where_seeds_do_not_differ_the_difference_is_that_of_all_runs():
    values = table_with(True)
    found = compare(values, 0, further=True)
    further = found.choice.further
    assert (further.runs, further.why) == (5, "")
    assert further.p >= 0.05
    levels = [values[0].mean(), *values[1:, :4].mean(1)]
    assert [row.difference for row in found.rows[1:]] == pytest.approx([of - levels[0] for of in levels[1:]])
    assert {(row.test, row.n) for row in found.rows[1:]} == {("one-way", 4)}


def test_the_error_is_the_sum_of_the_baselines_own_variance_and_the_pooled_moderated_one():
    values = table_with(True)
    errors = unpaired.standard_errors(values[:, :4], 0, values[0, 4:])
    own = values[1:, :4].var(1, ddof=1)
    moderated = (blocks.PRIOR * own.mean() + 3 * own) / (blocks.PRIOR + 3)
    np.testing.assert_allclose(errors.error[1:] ** 2, values[0].var(ddof=1) / 9 + moderated / 4)


def test_where_seeds_differ_only_the_shared_ones_count():
    values = table_with(False, seed_sd=5.0)
    found = compare(values, 0, further=True)
    assert found.choice.further.why == "seeds differ"
    assert found.choice.further.p < 0.05
    assert found.rows == compare(values[:, :4], 0).rows


@given(draws, st.booleans())
@settings(max_examples=10, deadline=None)
def test_the_test_of_the_seeds_is_the_f_test_of_the_block_design(draw, gap):
    values = table(draw, 4, 5, 5, 1.0)
    values[2, 3] = np.nan if gap else values[2, 3]
    there = np.argwhere(~np.isnan(values))
    data = pd.DataFrame({"cell": there[:, 0], "seed": there[:, 1], "value": values[tuple(there.T)]})
    theirs = anova_lm(ols("value ~ C(cell) + C(seed)", data).fit(), typ=2)["PR(>F)"]["C(seed)"]
    assert float(unpaired.seeds_p(values)) == pytest.approx(theirs)


@given(draws)
@settings(max_examples=10, deadline=None)
def test_the_order_of_rows_and_seeds_does_not_matter(draw):
    values, rng = table(draw), np.random.default_rng(draw)
    rows, seeds = rng.permutation(5), rng.permutation(9)
    one, other = compare(values, 0, further=True), compare(values[rows][:, seeds], int(rows.argmin()), further=True)
    assert one.choice.further == replace(other.choice.further, p=pytest.approx(one.choice.further.p, nan_ok=True))
    for at, row in enumerate(rows):
        assert (other.rows[at].half, other.rows[at].adjusted) == pytest.approx(
            (one.rows[row].half, one.rows[row].adjusted), rel=1e-6, nan_ok=True
        )


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        ({"seeds": 2}, "the cells share fewer than 3 seeds"),
        ({"cells": 3, "seeds": 4}, "the other cells have only 6 runs beyond their first, of 8 needed"),
    ],
)
def test_tables_too_small_for_the_rule_count_shared_seeds_alone(shape, why):
    values = table(0, **shape)
    found = compare(values, 0, further=True)
    assert (found.choice.further.why, math.isnan(found.choice.further.p)) == (why, True)
    assert str(found.rows) == str(compare(values[:, : shape["seeds"]], 0).rows)


def test_a_table_that_is_not_pooled_counts_shared_seeds_alone():
    values = table(0, cells=7)
    values[3:6, :4] *= [[30], [40], [50]]
    found = compare(values, 0, further=True)
    assert (found.choice.method, found.choice.further.why) == ("paired", "the table is not pooled")
    assert found.rows == compare(values[:, :4], 0).rows


def test_a_noisy_cell_is_set_apart_and_the_others_take_all_runs_of_the_baseline():
    values = table_with(True, cells=8)
    values[5, :4] = [10, 30, 12, 40]
    found, quiet = compare(values, 0, further=True), np.delete(values, 5, 0)
    assert found.choice.noisy == (5,)
    assert found.choice.further == judged(quiet)
    assert [row.test for row in found.rows] == ["", *["one-way"] * 4, "paired t", *["one-way"] * 2]
    assert found.rows[5].difference == pytest.approx((values[5] - values[0])[:4].mean())


def test_missing_runs_of_a_one_way_layout_leave_the_means_of_the_others():
    values = table_with(True, cells=6)
    values[2, 1] = values[0, 0] = np.nan
    found = compare(values, 0, further=True)
    assert (found.choice.further.runs, found.choice.missing) == (5, 2)
    if found.choice.further.counts:
        assert found.rows[2].difference == pytest.approx(np.nanmean(values[2]) - np.nanmean(values[0]))
    assert [row.n for row in found.rows[1:]] == [4, 3, 4, 4, 4]


def test_a_cell_with_one_run_is_not_tested():
    values = table_with(True, cells=6)
    values[2, 1:] = np.nan
    assert (compare(values, 0, further=True).rows[2].test, compare(values, 0, further=True).rows[2].n) == ("", 1)


def test_the_seeds_needed_leave_the_baseline_the_runs_that_it_has():
    values = table_with(True, cells=11, seeds=3)
    errors = unpaired.standard_errors(values[:, :3], 0, values[0, 3:])
    growth = errors.growth(1)
    now = abs(float(errors.difference[1] / errors.error[1]))
    assert (growth.noncentrality(3), growth.df(3)) == pytest.approx((now, float(errors.df)))
    assert growth.noncentrality(9) < now * math.sqrt(3) < growth.noncentrality(30)
    assert growth.df(4) > growth.df(3)


def test_the_baselines_mean_has_the_interval_of_all_its_own_runs():
    values = table_with(True)
    estimate = means(values, compare(values, 0, further=True).choice)
    own = intervals.mean_interval(values[0])
    assert (int(estimate.n[0]), float(estimate.mean[0]), float(estimate.half[0])) == (9, own.mean, own.half)
    of_shared = means(values[:, :4], compare(values[:, :4], 0).choice)
    np.testing.assert_allclose(estimate.half[1:], of_shared.half[1:])


def test_studies_side_by_side_are_compared_as_one_by_one():
    for seeds, further in [simulated.drawn((6, 3, 7, 0.2, 4), 40)]:
        decided = simulated.rejects(seeds, further)
        whole = np.full((40, 6, 7), np.nan)
        whole[:, :, :3], whole[:, 0, 3:] = seeds, further
        one_by_one = [[row.adjusted < 0.05 for row in compare(of, 0, further=True).rows[1:]] for of in whole]
        np.testing.assert_array_equal(decided, one_by_one)
