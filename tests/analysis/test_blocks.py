import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from sklab.analysis import blocks, dunnett

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
    sm = pytest.importorskip("statsmodels.api")
    values = with_gaps(draw)
    dummies, y, _ = design(values)
    fitted = sm.OLS(y, dummies).fit()
    theirs, ours = fitted.t_test(contrasts(values)), blocks.standard_errors(values, 0)
    tested = ~np.isnan(ours.error["equal"][1:])
    assert ours.difference[1:] == pytest.approx(theirs.effect)
    assert ours.error["equal"][1:][tested] == pytest.approx(theirs.sd.ravel()[tested])
    assert ours.df["equal"] == theirs.df_denom


@given(draws)
@settings(max_examples=25, deadline=None)
def test_the_baselines_share_and_the_mean_correlation_are_those_of_the_whole_matrix(draw):
    values = with_gaps(draw)
    dummies, _, row = design(values)
    of_runs = contrasts(values) @ np.linalg.pinv(dummies)
    there = ~np.isnan(values)
    tested = there.sum(1) > 1
    tested[0] = False
    weights = blocks._weights(blocks.fit(values), there.astype(float), 0, tested)
    assert weights.variance[1:] == pytest.approx((of_runs**2).sum(1))
    assert weights.baseline[1:] == pytest.approx((of_runs[:, row == 0] ** 2).sum(1))
    scaled = of_runs[tested[1:]] / np.sqrt((of_runs[tested[1:]] ** 2).sum(1, keepdims=True))
    matrix = scaled @ scaled.T
    if len(matrix) > 1:
        mean = matrix[np.triu_indices(len(matrix), 1)].mean()
        assert weights.correlation == pytest.approx(mean, abs=0.0051)


@pytest.mark.parametrize("draw", range(3))
def test_the_mean_correlation_stands_for_the_matrix(draw):
    """Against the integral over the whole matrix (A. Genz, F. Bretz), where it matters: p near 0.05."""
    values = with_gaps(draw, cells=7, seeds=5, share=0.35)
    dummies, _, _ = design(values)
    errors = blocks.standard_errors(values, 0)
    tested = ~np.isnan(errors.error["equal"][1:])
    of_runs = (contrasts(values) @ np.linalg.pinv(dummies))[tested]
    scaled = of_runs / np.sqrt((of_runs**2).sum(1, keepdims=True))
    df, family = float(errors.df["equal"]), int(errors.comparisons)
    t = np.full(family, dunnett.critical(family, df, correlation=float(errors.correlation)))
    exact = reference.multivariate_t(shape=scaled @ scaled.T, df=df)
    inside = exact.cdf(t, lower_limit=-t, maxpts=200_000, random_state=np.random.default_rng(0))
    assert 1 - inside == pytest.approx(0.05, abs=0.001)


@given(draws, st.integers(3, 6), st.integers(2, 6))
@settings(max_examples=15, deadline=None)
def test_without_gaps_the_three_reckonings_have_their_plain_formulas(draw, cells, seeds):
    values = with_gaps(draw, cells, seeds, share=0.0)
    errors, apart = blocks.standard_errors(values, 0), values - values[0]
    left = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    equal = (left**2).sum() / ((cells - 1) * (seeds - 1))
    others = values[1:] - values[1:].mean(1, keepdims=True) - values[1:].mean(0) + values[1:].mean()
    spread = (others**2).sum() / ((cells - 2) * (seeds - 1)) * (cells - 2) / (cells - 1)
    noisy = (values[0] - values[1:].mean(0)).var(ddof=1) + spread
    assert errors.correlation == 0.5
    assert errors.difference == pytest.approx(apart.mean(1), abs=1e-12)
    for name, variance in (("equal", 2 * equal), ("baseline", noisy), ("own", apart[1:].var(1, ddof=1))):
        assert errors.error[name][1:] == pytest.approx(np.sqrt(variance / seeds * np.ones(cells - 1)))


def test_many_studies_at_once_are_the_studies_one_by_one():
    tables = np.array([with_gaps(draw) for draw in range(20)])
    errors = blocks.standard_errors(tables, 0)
    halves = blocks.half_widths(errors)
    for at, table in enumerate(tables):
        alone = blocks.standard_errors(table, 0)
        for name in blocks.RECKONINGS:
            np.testing.assert_allclose(halves[name][at], blocks.half_widths(alone)[name])


def test_all_pairs_at_once_are_the_comparisons_with_each_row():
    values = with_gaps(3, share=0.0)
    one_by_one = np.array([blocks.single_p(blocks.standard_errors(values, at)) for at in range(len(values))])
    others = ~np.eye(len(values), dtype=bool)
    np.testing.assert_allclose(blocks.pairs_p(values)[others], one_by_one[others], rtol=1e-9)


def test_what_can_not_be_compared_has_no_error():
    values = with_gaps(0, share=0.0)
    values[1, 1:] = np.nan  # one run
    values[2] = np.nan  # none
    errors = blocks.standard_errors(values, 0)
    assert np.isnan(errors.error["equal"]).tolist() == [True, True, True, False, False]
    assert errors.comparisons == 2
