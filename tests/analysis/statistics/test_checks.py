import numpy as np
import pytest
from scipy import stats as reference

from sklab.analysis.statistics import checks
from sklab.analysis.statistics.blocks import fit


def null(cells, seeds, count=10_000):
    rng = np.random.default_rng(cells + seeds)
    return rng.normal(size=(count, cells, seeds)) + 5 * rng.normal(size=(count, 1, seeds))


@pytest.mark.parametrize(("cells", "seeds"), [(3, 3), (11, 3), (4, 10)])
def test_each_check_cries_wolf_at_the_stated_rate(cells, seeds):
    values = null(cells, seeds) + np.arange(cells)[:, None]
    for check in (checks.equal_variances(values), checks.additivity(values)):
        assert np.mean(check.p < 0.05) == pytest.approx(0.05, abs=0.008)


def test_a_noisy_cell_is_found_and_named():
    values = null(6, 10)
    values[:, 2] += 4 * np.random.default_rng(0).normal(size=(10_000, 10))
    assert np.mean(checks.equal_variances(values).fails) > 0.95
    assert np.mean(checks.noisiest(values) == 2) > 0.99


def test_additivity_is_the_f_test_of_one_more_regressor():
    values = np.random.default_rng(1).normal(size=(4, 5)) + np.arange(5.0) + np.arange(4.0)[:, None]
    cell, seed = (values.mean(axis, keepdims=True) - values.mean() for axis in (1, 0))
    left = values - values.mean() - cell - seed
    product = cell * seed
    explained = (left * product).sum() ** 2 / (product**2).sum()
    f = explained / (((left**2).sum() - explained) / 11)
    check = checks.additivity(values)
    assert check.statistic == pytest.approx(f)
    assert check.p == pytest.approx(reference.f.sf(f, 1, 11))


def test_seeds_that_multiply_are_not_additive():
    seeds, cells = np.array([1.0, 2.0, 3.0, 5.0]), np.array([1.0, 2.0, 4.0])
    noise = 0.1 * np.random.default_rng(2).normal(size=(3, 4))
    assert checks.additivity(cells[:, None] * seeds + noise).fails


def test_tables_too_small_to_check_are_not_checked():
    small = np.random.default_rng(0).normal(size=(2, 2))
    for check in (checks.equal_variances(small), checks.additivity(small)):
        assert np.isnan(check.p)
        assert not check.fails


def test_the_residual_variance_is_that_of_the_additive_model():
    values = np.random.default_rng(4).normal(size=(4, 3))
    fitted = fit(values)
    effects = values.mean(1, keepdims=True) + values.mean(0) - values.mean()
    assert fitted.df == 6
    assert fitted.variance == pytest.approx(((values - effects) ** 2).sum() / 6)
