import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats as reference

from sklab.analysis.statistics import intervals

numbers = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3))
matrices = arrays.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(2, 8)), elements=numbers)
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def spread(values):
    return np.ptp(values) > 4 * intervals.ROUNDING * np.abs(values).max()


@given(matrices)
def test_the_interval_is_the_t_interval_of_scipy(values):
    estimate = intervals.mean_interval(values)
    for at, row in enumerate(values):
        assert estimate.n[at] == len(row)
        assert estimate.mean[at] == pytest.approx(row.mean(), rel=1e-9, abs=1e-9)
        if spread(row):
            low, high = reference.t.interval(0.95, len(row) - 1, loc=row.mean(), scale=reference.sem(row))
            assert estimate.half[at] == pytest.approx((high - low) / 2, rel=1e-6)


@given(matrices)
def test_the_paired_test_is_that_of_scipy(values):
    difference = intervals.paired_difference(values, values[0])
    for at in range(1, len(values)):
        both = np.concatenate([values[at], values[0]])
        if np.std(values[at] - values[0]) > 10 * intervals.ROUNDING * np.abs(both).max():
            expected = reference.ttest_rel(values[at], values[0])
            interval = expected.confidence_interval(0.95)
            assert difference.p[at] == pytest.approx(expected.pvalue, rel=1e-5, abs=1e-12)
            assert difference.half[at] == pytest.approx((interval.high - interval.low) / 2, rel=1e-5)


@given(p_values)
def test_holm_never_lowers_p_and_keeps_their_order(p):
    adjusted = intervals.holm(p)
    assert np.all(adjusted >= np.array(p))
    assert np.all(adjusted <= 1)
    assert np.all(np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0)


@given(p_values, st.randoms(use_true_random=False))
def test_holm_does_not_depend_on_the_order_of_the_tests(p, random):
    order = list(range(len(p)))
    random.shuffle(order)
    assert intervals.holm([p[at] for at in order]) == pytest.approx(intervals.holm(p)[order])


def test_holm_on_a_worked_example():
    # 0.01 x 4, then 0.013 x 3 = 0.039 raised to 0.04, 0.03 x 2, and the largest as it is, raised to 0.06
    assert intervals.holm([0.03, 0.01, 0.04, 0.013]) == pytest.approx([0.06, 0.04, 0.06, 0.04])


def test_holm_counts_only_tests_that_were_made():
    adjusted = intervals.holm([np.nan, 0.02, np.nan, 0.5])
    assert adjusted[[1, 3]] == pytest.approx([0.04, 0.5])
    assert np.isnan(adjusted[[0, 2]]).all()


@given(matrices, st.data())
def test_a_missing_value_is_as_if_the_seed_had_not_been(values, data):
    gone = data.draw(st.integers(0, values.shape[1] - 1))
    holed = values.copy()
    holed[:, gone] = np.nan
    for with_hole, without in zip(
        (intervals.mean_interval(holed), intervals.paired_difference(holed, holed[0])),
        (
            intervals.mean_interval(np.delete(values, gone, 1)),
            intervals.paired_difference(*(np.delete(v, gone, -1) for v in (values, values[0]))),
        ),
        strict=True,
    ):
        for name in vars(with_hole):
            np.testing.assert_allclose(getattr(with_hole, name), getattr(without, name), rtol=1e-9, atol=1e-9)


def test_pairs_are_of_shared_seeds_only():
    difference = intervals.paired_difference([[1.0, np.nan, 4.0, 7.0]], [0.0, 1.0, 2.0, np.nan])
    assert difference.n.tolist() == [2]
    assert difference.mean.tolist() == [1.5]


@pytest.mark.parametrize(("values", "n", "mean"), [([np.nan, np.nan], 0, np.nan), ([3.0, np.nan], 1, 3.0)])
def test_too_few_values_have_no_interval_and_no_test(values, n, mean):
    estimate, difference = intervals.mean_interval(values), intervals.paired_difference(values, [0.0, 0.0])
    assert (estimate.n, difference.n) == (n, n)
    np.testing.assert_equal([estimate.mean, difference.mean], [mean, mean])
    assert np.isnan([estimate.half, difference.half, difference.p]).all()


@pytest.mark.parametrize("value", [0.1, 12.3, 1e5 / 3])
def test_equal_values_show_no_spread_to_reckon_with(value):
    # Added up and divided, equal numbers may differ from themselves in the last bit.
    estimate = intervals.mean_interval([value] * 7)
    assert estimate.mean == pytest.approx(value)
    assert np.isnan(estimate.half)


@pytest.mark.parametrize(
    ("error", "guessing", "images", "found"),
    [
        (90.0, 90.0, 1000, True),
        (88.2, 90.0, 1000, True),  # 2.5 % of such sets have an error of 88.1 % or less
        (88.0, 90.0, 1000, False),
        (88.2, 90.0, 50_000, False),
        (97.0, 90.0, 50_000, True),  # worse than guessing
        (50.0, 50.0, 0, True),  # how many images is not known
        (49.9, 50.0, 0, False),
        (100 * 49_950 / 50_000, 99.9, 0, True),
        (0.0, 50.0, 2, True),  # too few images to tell
    ],
)
def test_an_error_is_no_better_than_guessing_as_far_as_its_images_tell(error, guessing, images, found):
    assert intervals.no_better_than_guessing(error, guessing, images) is found


@pytest.mark.parametrize(("images", "epochs"), [(32, 1), (1000, 1), (1000, 10)])
def test_who_guesses_is_taken_for_one_who_learned_in_one_case_of_forty_at_most(images, epochs):
    wrong = np.random.default_rng(0).binomial(images, 0.9, (10_000, epochs)).min(-1)
    learned = [not intervals.no_better_than_guessing(100 * of / images, 90.0, images, epochs) for of in wrong]
    assert np.mean(learned) < 0.025 + 0.004


def test_equal_differences_are_no_evidence():
    reference_values = np.array([10.05, 11.1, 12.35])
    difference = intervals.paired_difference([reference_values + 0.05, reference_values], reference_values)
    assert np.isnan(difference.half).all()
    np.testing.assert_equal(difference.p, [np.nan, np.nan])


def test_nearly_all_intervals_hold_the_true_mean():
    values = np.random.default_rng(0).normal(5.0, 2.0, size=(20_000, 3))
    estimate = intervals.mean_interval(values)
    assert np.mean(np.abs(estimate.mean - 5.0) <= estimate.half) == pytest.approx(0.95, abs=0.005)


def test_no_cells_are_no_numbers():
    assert intervals.mean_interval(np.empty((0, 3))).mean.shape == (0,)
    assert intervals.holm([]).shape == (0,)


def test_the_worked_example_of_the_docs():
    baseline, a, b = [20.0, 21.0, 22.5], [18.0, 19.5, 20.0], [20.5, 20.0, 22.0]
    estimate = intervals.mean_interval([baseline, a, b])
    difference = intervals.paired_difference([a, b], baseline)
    assert estimate.mean.round(2).tolist() == [21.17, 19.17, 20.83]
    assert estimate.half.round(2).tolist() == [3.13, 2.59, 2.59]
    assert difference.mean.round(2).tolist() == [-2.0, -0.33]
    assert difference.half.round(2).tolist() == [1.24, 1.9]
    assert difference.p.round(3).tolist() == [0.02, 0.529]
    assert intervals.holm(difference.p).round(3).tolist() == [0.04, 0.529]
