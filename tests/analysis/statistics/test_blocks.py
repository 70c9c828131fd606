import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklab.analysis.choice.pairs import pairs_p
from sklab.analysis.statistics import blocks

draws = st.integers(0, 10_000)


def with_gaps(draw, cells=5, seeds=4, share=0.2):
    """A table whose first row and first column are whole, so that all of it hangs together."""
    rng = np.random.default_rng(draw)
    values = rng.normal(20, 1, (cells, seeds)) + rng.normal(0, 3, seeds)
    values[1:, 1:][rng.random((cells - 1, seeds - 1)) < share] = np.nan
    return values


def design(values):
    """The dummies of cells and seeds, and the values."""
    cells, seeds = values.shape
    row, column = np.nonzero(~np.isnan(values))
    return np.hstack([np.eye(cells)[row], np.eye(seeds)[column][:, 1:]]), values[row, column], row


def contrasts(values):
    """Every cell minus the first, as weights of the fitted effects."""
    cells, seeds = values.shape
    return np.hstack([-np.ones((cells - 1, 1)), np.eye(cells - 1), np.zeros((cells - 1, seeds - 1))])


@given(draws)
@settings(max_examples=25, deadline=None)
def test_differences_and_errors_with_gaps_are_those_of_statsmodels(draw):
    import statsmodels.api as sm

    values = with_gaps(draw)
    dummies, y, _ = design(values)
    fitted = sm.OLS(y, dummies).fit()
    theirs, ours = fitted.t_test(contrasts(values)), blocks.standard_errors(values, 0)
    assert ours.difference[1:] == pytest.approx(theirs.effect)
    of_baseline, of_cells = blocks._weights(blocks.fit(values), (~np.isnan(values)).astype(float), 0)
    equal = np.sqrt(blocks.fit(values).variance * (of_baseline + of_cells))
    assert equal[1:] == pytest.approx(theirs.sd.ravel())
    assert blocks.fit(values).df == theirs.df_denom


@given(draws)
@settings(max_examples=25, deadline=None)
def test_the_weights_of_baseline_and_cells_are_those_of_least_squares(draw):
    values = with_gaps(draw)
    dummies, _, row = design(values)
    of_runs = contrasts(values) @ np.linalg.pinv(dummies)
    of_baseline, of_cells = blocks._weights(blocks.fit(values), (~np.isnan(values)).astype(float), 0)
    assert (of_baseline + of_cells)[1:] == pytest.approx((of_runs**2).sum(1))
    assert of_baseline[1:] == pytest.approx((of_runs[:, row == 0] ** 2).sum(1))


@given(draws, st.integers(3, 6), st.integers(2, 6))
@settings(max_examples=15, deadline=None)
def test_without_gaps_the_variances_have_their_plain_formulas(draw, cells, seeds):
    values = with_gaps(draw, cells, seeds, share=0.0)
    errors = blocks.standard_errors(values, 0)
    left = values[1:] - values[1:].mean(1, keepdims=True) - values[1:].mean(0) + values[1:].mean()
    common = (left**2).sum() / ((cells - 2) * (seeds - 1))
    own = (left**2).sum(1) * (cells - 1) / (cells - 2)
    of_cells = (blocks.PRIOR * common + own) / (blocks.PRIOR + seeds - 1)
    baseline = (values[0] - values[1:].mean(0)).var(ddof=1)
    baseline = max(baseline, blocks.QUIETEST * common) if seeds == 2 else baseline
    assert errors.difference == pytest.approx((values - values[0]).mean(1), abs=1e-12)
    assert errors.error[1:] == pytest.approx(np.sqrt((baseline + of_cells) / seeds))


def test_degrees_of_freedom_lie_between_those_of_the_baseline_and_of_all():
    for draw in range(50):
        errors = blocks.standard_errors(with_gaps(draw, cells=6, seeds=4, share=0.0), 0)
        assert 3 <= errors.df <= 3 + 12
        assert 0 <= errors.correlation < 1


def test_a_share_of_the_baseline_that_rounds_to_one_gives_a_correlation_just_below():
    values = with_gaps(0, cells=4, seeds=3, share=0.0)
    values[0] += 1000 * np.array([-1, 1, 0])
    errors = blocks.standard_errors(values, 0)
    assert errors.correlation == 0.99
    assert blocks.half_widths(errors)[1] / errors.error[1] < 4.7  # and not 6.1, that of a correlation of 0.5


def test_a_baseline_of_three_runs_is_as_noisy_as_the_others_at_least_where_cells_were_set_apart():
    values = with_gaps(1, cells=5, seeds=3, share=0.0)
    values[0] = values[1:].mean(0)
    rest = values[1:] - values[1:].mean(1, keepdims=True) - values[1:].mean(0) + values[1:].mean()
    common = (rest**2).sum() / 6
    free, bound = (blocks.standard_errors(values, 0, apart=apart).error[1:] for apart in (False, True))
    assert bound**2 - free**2 == pytest.approx(common / 3)
    longer = with_gaps(1, cells=5, seeds=4, share=0.0)
    both = (blocks.standard_errors(longer, 0, apart=apart).error for apart in (False, True))
    np.testing.assert_array_equal(*both)


def test_many_studies_at_once_are_the_studies_one_by_one():
    tables = np.array([with_gaps(draw) for draw in range(20)])
    errors = blocks.standard_errors(tables, 0)
    halves = blocks.half_widths(errors)
    for at, table in enumerate(tables):
        np.testing.assert_allclose(halves[at], blocks.half_widths(blocks.standard_errors(table, 0)))


@pytest.mark.parametrize("shape", [(2, 4), (5, 2), (5, 4)])
def test_all_pairs_at_once_are_the_comparisons_with_each_row(shape):
    values = with_gaps(3, *shape, share=0.0)
    one_by_one = np.array([blocks.single_p(blocks.standard_errors(values, at)) for at in range(len(values))])
    others = ~np.eye(len(values), dtype=bool)
    np.testing.assert_allclose(pairs_p(values)[others], one_by_one[others], rtol=1e-9)


def test_what_can_not_be_compared_has_no_error():
    values = with_gaps(0, share=0.0)
    values[1, 1:] = np.nan  # one run
    values[2] = np.nan  # none
    errors = blocks.standard_errors(values, 0)
    assert np.isnan(errors.error).tolist() == [True, True, True, False, False]
    assert errors.comparisons == 2
