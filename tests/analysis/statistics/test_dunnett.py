import numpy as np
import pytest
from scipy import special
from scipy import stats as reference

from sklab.analysis.statistics import dunnett

# Two-sided critical values at 5 and 1 %, 1 to 9 comparisons (C. W. Dunnett, New tables for multiple comparisons with a
# control, Biometrics 20 (1964), 482-491).
TABLE = {
    (5, 0.95): (2.57, 3.03, 3.29, 3.48, 3.62, 3.73, 3.82, 3.90, 3.97),
    (10, 0.95): (2.23, 2.57, 2.76, 2.89, 2.99, 3.07, 3.14, 3.19, 3.24),
    (20, 0.95): (2.09, 2.38, 2.54, 2.65, 2.73, 2.80, 2.86, 2.90, 2.95),
    (60, 0.95): (2.00, 2.27, 2.41, 2.51, 2.58, 2.64, 2.69, 2.73, 2.77),
    (20, 0.99): (2.85, 3.13, 3.29, 3.40, 3.48, 3.55, 3.60, 3.65, 3.69),
}


@pytest.mark.parametrize(("df", "level"), TABLE)
def test_critical_values_are_those_of_the_published_table(df, level):
    ours = [dunnett.critical(comparisons, df, level) for comparisons in range(1, 10)]
    assert ours == pytest.approx(TABLE[df, level], abs=0.006)


@pytest.mark.parametrize("df", [2, 3.7, 20, 500])
def test_one_comparison_is_students_t(df):
    t = np.array([0.0, 1.0, 4.0, 30.0])
    assert dunnett.exceedance(t, 1, df) == pytest.approx(2 * reference.t.sf(t, df), rel=1e-4, abs=1e-12)
    assert dunnett.critical(1, df) == pytest.approx(reference.t.ppf(0.975, df))


def test_p_values_are_those_of_scipy_on_independent_samples():
    values = np.random.default_rng(3).normal(size=(5, 4)) + np.array([0, 1.2, 2.5, 0.3, -1])[:, None]
    expected = reference.dunnett(*values[1:], control=values[0], rng=np.random.default_rng(0))
    variance = values.var(1, ddof=1).mean()
    t = (values[1:].mean(1) - values[0].mean()) / np.sqrt(variance * 2 / 4)
    assert t == pytest.approx(expected.statistic)
    assert dunnett.exceedance(t, 4, 15) == pytest.approx(expected.pvalue, abs=2e-3)


@pytest.mark.parametrize(("comparisons", "df"), [(1, 2), (4, 3.3), (10, 20), (99, 200)])
def test_the_critical_value_is_exceeded_with_the_stated_probability(comparisons, df):
    assert dunnett.exceedance(dunnett.critical(comparisons, df), comparisons, df) == pytest.approx(0.05, abs=1e-7)


def test_the_integral_agrees_with_a_simulation():
    rng = np.random.default_rng(0)
    shared, own, spread = rng.normal(size=200_000), rng.normal(size=(200_000, 10)), rng.chisquare(4, 200_000) / 4
    largest = np.abs((own - shared[:, None]) / np.sqrt(2 * spread)[:, None]).max(1)
    for t in (2.0, 3.0, 5.0):
        assert dunnett.exceedance(t, 10, 4) == pytest.approx(np.mean(largest > t), abs=0.004)


@pytest.mark.parametrize("comparisons", [2, 1000])
@pytest.mark.parametrize("df", [1, 2.5, 20, 5000])
def test_few_points_make_the_integral_of_many(comparisons, df):
    log, z = (
        np.linspace(*np.log(reference.chi2.ppf([1e-12, 1], df).clip(max=2 * df + 100) / df) / 2, 3000),
        np.linspace(-8, 8, 201),
    )
    weights = reference.chi2.pdf(df * np.exp(2 * log), df) * 2 * df * np.exp(2 * log) * (log[1] - log[0])
    weights = weights[:, None] * reference.norm.pdf(z) * (z[1] - z[0])
    for t in (1.0, 3.7, 20.0):
        reach = t * np.exp(log)[:, None] * np.sqrt(2)
        within = special.ndtr(reach - z) - special.ndtr(-reach - z)
        assert dunnett.exceedance(t, comparisons, df) == pytest.approx(
            1 - np.sum(within**comparisons * weights), abs=2e-6
        )


def test_no_statistic_has_no_p():
    assert np.isnan(dunnett.exceedance([np.nan, 1.0], 3, 10)).tolist() == [True, False]
    assert np.isnan(dunnett.exceedance(1.0, 3, np.nan))
