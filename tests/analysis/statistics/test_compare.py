import time

import numpy as np
import pytest
import simulated
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sklab.analysis.choice.pairs import all_pairs
from sklab.analysis.statistics import blocks, intervals
from sklab.analysis.statistics import compare as module
from sklab.analysis.statistics.checks import Choice, choose
from sklab.analysis.statistics.compare import EQUAL, compare, means

draws = st.integers(0, 10_000)
shapes = st.tuples(st.integers(2, 6), st.integers(2, 6))
NUMBERS = ("difference", "half", "p", "adjusted", "df", "effect", "detectable")


def table(rng, shape):
    return rng.normal(20, 1, size=shape) + rng.normal(0, 3, size=shape[1])


def columns(comparisons, names=NUMBERS):
    return np.array([[getattr(row, name) for name in names] for row in comparisons.rows])


@given(draws, shapes)
@settings(max_examples=15, deadline=None)
def test_the_order_of_cells_and_of_seeds_does_not_matter(draw, shape):
    rng = np.random.default_rng(draw)
    values = table(rng, shape)
    cells, seeds = rng.permutation(shape[0]), rng.permutation(shape[1])
    shuffled = compare(values[np.ix_(cells, seeds)], int(np.flatnonzero(cells == 0)[0]))
    np.testing.assert_allclose(columns(shuffled), columns(compare(values, 0))[cells], rtol=1e-6, atol=1e-9)


@given(draws, shapes, st.sampled_from([-3.0, 0.01, 40.0]))
@settings(max_examples=15, deadline=None)
def test_unit_and_level_and_what_a_seed_does_to_all_do_not_matter(draw, shape, unit):
    rng = np.random.default_rng(draw)
    values = table(rng, shape)
    moved = compare(unit * (values + rng.normal(0, 5, size=shape[1])), 0)
    if moved.choice.method == compare(values, 0).choice.method:  # additivity is of the level, too
        scale = np.array([unit, abs(unit), 1, 1, 1, np.sign(unit), abs(unit)])
        np.testing.assert_allclose(columns(moved), columns(compare(values, 0)) * scale, rtol=1e-5, atol=1e-8)


@given(draws, shapes)
@settings(max_examples=15, deadline=None)
def test_a_block_test_tells_apart_exactly_where_the_interval_does_not_hold_zero(draw, shape):
    rng = np.random.default_rng(draw)
    values = table(rng, shape)
    values[1] += rng.normal(0, 4)
    for row in compare(values, 0).rows:
        if row.test == "block":
            assert (abs(row.difference) > row.half) == (row.adjusted < intervals.ALPHA)


@pytest.mark.parametrize("noise", simulated.NOISES)
@pytest.mark.parametrize("seeds", [3, 5])
def test_the_simulated_procedure_is_this_one(noise, seeds):
    rng = np.random.default_rng(seeds)
    values = simulated.studies(noise, 6, 5, seeds, rng)
    values[:, 1] += 4
    at_once = simulated.rejects(values)
    for study, decided in zip(values, at_once, strict=True):
        found = [row.adjusted < intervals.ALPHA for row in compare(study, 0).rows[1:]]
        assert found == decided.tolist()


def test_two_cells_are_a_paired_t_test():
    values = np.array([[20.0, 21.0, 22.5], [18.0, 19.5, 20.0]])
    ours, pair = compare(values, 0).rows[1], intervals.paired_difference(values[1], values[0])
    assert (ours.test, ours.df) == ("block", 2)
    assert (ours.difference, ours.half, ours.adjusted) == pytest.approx(
        (float(pair.mean), float(pair.half), float(pair.p))
    )


def test_pooling_makes_three_seeds_tell_what_pairs_cannot_also_with_a_run_missing():
    values = table(np.random.default_rng(5), (11, 3))
    values[1] += 4
    whole = compare(values, 0)
    values[5, 1] = np.nan
    gapped = compare(values, 0)
    assert whole.rows[1].df > 5
    assert whole.rows[1].adjusted < 0.01
    assert (
        gapped.rows[1].adjusted < 0.01 < 0.1 < intervals.holm(intervals.paired_difference(values, values[0]).p[1:])[0]
    )


def test_missing_runs_are_gaps_in_the_fit_and_it_says_so():
    values = table(np.random.default_rng(1), (4, 5))
    values[2, 0] = np.nan
    found = compare(values, 0)
    assert (found.choice.method, found.choice.missing) == ("pooled", 1)
    assert found.choice.why.startswith("1 of 20 runs is missing")
    assert [(row.test, row.n) for row in found.rows] == [("", 5), ("block", 5), ("block", 4), ("block", 5)]
    assert found.rows[2].half > found.rows[1].half


def test_the_checks_of_a_table_with_gaps_are_those_of_the_larger_part_without():
    values = table(np.random.default_rng(1), (4, 5))
    values[2, 0] = values[2, 1] = np.nan
    assert compare(values, 0).choice.variances.p == compare(np.delete(values, 2, 0), 0).choice.variances.p
    values[1, 0] = values[0, 0] = np.nan
    assert compare(values, 0).choice.variances.p == compare(values[:, 2:], 0).choice.variances.p


def test_seeds_that_are_not_shared_are_compared_by_welch():
    values = np.full((3, 6), np.nan)
    values[0, :3], values[1, 3:], values[2, :2] = [1.0, 2.0, 4.0], [7.0, 8.0, 8.5], [2.0, 2.5]
    rows = compare(values, 0).rows
    assert [row.test for row in rows] == ["", "Welch", "paired t"]
    assert rows[1].n == 3


def noisy_table(*noisy):
    """Six cells and eight seeds; each further of `noisy` has thirty times the spread of the one before."""
    values = table(np.random.default_rng(2), (6, 8))
    for times, row in enumerate(noisy, 1):
        values[row] += 30**times * np.linspace(-1, 1, 8) * (-1) ** np.arange(8)
    return values


def test_a_plainly_noisy_cell_is_set_apart_and_the_others_are_pooled_at_what_it_leaves_of_alpha():
    values = noisy_table(3)
    found, others = compare(values, 0), blocks.standard_errors(np.delete(values, 3, 0), 0)
    assert (found.choice.method, found.choice.noisy) == ("pooled", (3,))
    assert "neither check of the assumptions fails once 1 noisy cell is set aside" in found.choice.why
    assert [row.test for row in found.rows] == ["", "block", "block", "paired t", "block", "block"]
    pair = intervals.paired_difference(values[3], values[0], level=1 - 0.05 / 5)
    assert (found.rows[3].half, found.rows[3].adjusted) == pytest.approx((float(pair.half), min(5 * float(pair.p), 1)))
    halves = np.delete([row.half for row in found.rows], [0, 3])
    assert halves == pytest.approx(blocks.half_widths(others, 1 - 0.05 * 4 / 5)[1:])
    assert max(halves) < 0.1 * found.rows[3].half


def test_a_noisy_baseline_stays_since_it_has_a_variance_of_its_own():
    found = compare(noisy_table(3), 3)
    assert (found.choice.method, found.choice.noisy) == ("pooled", (3,))
    assert [row.test for row in found.rows] == ["block"] * 3 + [""] + ["block"] * 2
    both = compare(noisy_table(3, 1), 3)
    assert (both.choice.noisy, both.rows[1].test, both.rows[2].test) == ((1, 3), "paired t", "block")


def test_more_noisy_cells_than_two_leave_no_common_variance():
    found = compare(noisy_table(3, 1, 4), 0)
    assert (found.choice.method, found.choice.noisy) == ("paired", ())
    assert "equal variances (p = " in found.choice.why
    assert {row.test for row in found.rows[1:]} == {"paired t"}


def test_the_places_of_noisy_cells_are_those_of_the_table_also_with_empty_rows_and_gaps():
    values = np.insert(noisy_table(3), 1, np.nan, axis=0)
    values[2, 0] = np.nan
    found = compare(values, 0)
    assert (found.choice.noisy, found.choice.missing, found.choice.planned) == ((4,), 1, 48)
    assert (found.rows[4].test, found.rows[2].test, found.rows[1].reason) == ("paired t", "block", module.NO_RUN)


@given(draws, st.integers(3, 7), st.integers(3, 6))
@settings(max_examples=15, deadline=None)
def test_a_row_is_told_apart_exactly_where_its_interval_does_not_hold_zero_with_a_noisy_cell_too(draw, cells, seeds):
    rng = np.random.default_rng(draw)
    values = table(rng, (cells, seeds))
    values[1] += 40 * rng.standard_normal(seeds)
    values[2] += rng.normal(0, 4)
    found = compare(values, 0)
    for row in found.rows:
        if row.test and found.choice.method == "pooled":
            assert (abs(row.difference) > row.half) == (row.adjusted < intervals.ALPHA)


def test_a_check_that_could_not_be_made_has_not_passed():
    values = table(np.random.default_rng(0), (3, 3))
    assert choose(values).why == "complete, and neither check of the assumptions fails"
    assert choose(values[:2]).why == "complete, and the one check made, of additivity, passes"
    values[np.arange(3), np.arange(3)] = np.nan
    assert choose(values).why == "3 of 9 runs are missing, and the assumptions could not be checked"


@given(draws, st.integers(2, 8), st.integers(2, 6))
@settings(max_examples=15, deadline=None)
def test_the_interval_of_a_mean_rests_on_the_mean_squares_of_all_cells(draw, cells, seeds):
    values = table(np.random.default_rng(draw), (cells, seeds))
    found = means(values, Choice("pooled", ""))
    left = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    of_seeds = cells * values.mean(0).var(ddof=1)
    error = (left**2).sum() / ((cells - 1) * (seeds - 1))
    own = (left**2).sum(1) * cells / (cells - 1)
    moderated = (blocks.PRIOR * error + own) / (blocks.PRIOR + seeds - 1)
    deviation = np.sqrt((of_seeds + (cells - 1) * moderated) / cells / seeds)
    t = found.half / deviation
    assert t == pytest.approx(t[0])
    assert 1.96 < t[0] <= stats.t.ppf(0.975, seeds - 1) + 1e-9
    assert found.mean == pytest.approx(values.mean(1))


def test_a_mean_has_its_own_t_where_its_cell_is_noisy_or_the_table_is_not_pooled_and_none_for_one_run():
    values = noisy_table(3)
    alone = intervals.mean_interval(values).half
    pooled = means(values, compare(values, 0).choice).half
    assert (pooled == alone).tolist() == [False, False, False, True, False, False]
    np.testing.assert_array_equal(means(values, None).half, alone)
    np.testing.assert_array_equal(means(values, Choice("paired", "")).half, alone)
    values[1, 1:], values[2] = np.nan, np.nan
    assert np.isnan(means(values, Choice("pooled", "")).half).tolist() == [False, True, True, False, False, False]


def test_many_means_at_once_are_those_of_one_table_and_of_the_simulation():
    values = simulated.studies("one cell x16", 30, 5, 3, np.random.default_rng(0))
    one_by_one = [means(of, compare(of, 0).choice).half for of in values]
    np.testing.assert_allclose(simulated.mean_halves(values), one_by_one)


@pytest.mark.parametrize(
    ("values", "reasons"),
    [
        ([[1.0], [2.0]], (module.BASELINE, module.FEW)),
        ([[1.0, 2.0, 3.0]], (module.BASELINE,)),
        ([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]], (module.BASELINE, module.EQUAL)),
        ([[1.0, 2.0], [np.nan, 3.0], [1.5, 2.6], [np.nan] * 2], (module.BASELINE, module.FEW, "", module.NO_RUN)),
        ([[np.nan] * 2, [1.0, 2.0]], (module.NO_RUN, module.NO_BASELINE)),
        ([[np.nan] * 2] * 2, (module.NO_RUN, module.NO_RUN)),
    ],
)
def test_too_little_for_a_test_is_said_and_not_starred(values, reasons):
    rows = compare(values, 0).rows
    assert tuple(row.reason for row in rows) == reasons
    for row in rows:
        if row.reason:
            assert np.isnan([row.half, row.p, row.adjusted, row.effect, row.detectable]).all()
            assert (row.test, row.needed) == ("", None)


def test_the_very_same_numbers_are_not_tested():
    row = compare([[1.0, 2.0, 3.0]] * 2, 0).rows[1]
    assert (row.difference, row.test, row.reason) == (0.0, "", EQUAL)
    assert np.isnan([row.p, row.adjusted, row.half]).all()


def _errors(wrong, precision):
    """Errors in % of 1,000 images, as a record holds them."""
    return (precision(100) * np.array(wrong, precision) / precision(1000)).astype(np.float64)


@pytest.mark.parametrize("precision", [np.float32, np.float64])
@pytest.mark.parametrize("more", [[], [[190, 163]]])
def test_errors_that_differ_by_the_same_with_every_seed_are_no_evidence(precision, more):
    values = _errors([[199, 172], [202, 175], *more], precision)
    found = compare(values, 0)
    assert found.choice.why == "the cells differ by the same with every seed"
    assert {row.reason for row in found.rows[1:]} == {EQUAL}
    assert np.isnan(columns(found, ("half", "p", "adjusted"))).all()
    assert np.isnan(blocks.standard_errors(values, 0).error).all()
    assert np.isnan(all_pairs(values)[1]).all()


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(2, 5), draws)
@settings(max_examples=50)
def test_what_equal_differences_of_counts_leave_after_rounding_is_no_spread(level, by, seeds, draw):
    wrong = level + np.random.default_rng(draw).integers(0, 3000, seeds)
    values = _errors([wrong, wrong + by, wrong + by], np.float32)
    assert np.isnan(columns(compare(values, 0), ("half", "adjusted"))).all()


def test_one_image_more_is_a_spread():
    assert compare(_errors([[199, 172], [202, 176]], np.float32), 0).rows[1].test == "block"


def test_a_cell_without_runs_does_not_spoil_the_table():
    values = table(np.random.default_rng(3), (5, 3))
    holed = np.insert(values, 2, np.nan, axis=0)
    found = compare(holed, 0)
    assert found.choice.method == "pooled"
    np.testing.assert_array_equal(np.delete(columns(found), 2, 0), columns(compare(values, 0)))


def test_all_pairs_hold_the_comparisons_with_each_row():
    values = table(np.random.default_rng(5), (4, 4))
    mean, p = all_pairs(values)
    np.testing.assert_allclose(mean, -mean.T)
    np.testing.assert_array_equal(p, p.T)
    assert np.isnan(np.diag(p)).all()
    for row, versus in enumerate(compare(values, 0).rows[1:], 1):
        assert mean[row, 0] == pytest.approx(versus.difference)
        assert p[row, 0] >= versus.p - 1e-12


def test_all_pairs_set_a_noisy_cell_apart_too():
    values = noisy_table(3)
    _, p = all_pairs(values)
    _, others = all_pairs(np.delete(values, 3, 0))
    np.testing.assert_allclose(np.delete(np.delete(p, 3, 0), 3, 1), others)
    np.testing.assert_allclose(p[3, [0, 5]], intervals.paired_difference(values[[0, 5]], values[3]).p)


def test_a_table_is_quick():
    values = table(np.random.default_rng(6), (11, 3))
    start = time.process_time()
    compare(values, 0)
    assert time.process_time() - start < 5.0  # 0.05 on the machine it was written on
