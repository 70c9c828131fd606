from functools import partial

import numpy as np
import pytest
from scipy import stats as reference

from sklab.analysis.statistics import dunnett, planning

dunnett10 = partial(dunnett.critical, 10)


def student(df):
    return float(reference.t.ppf(0.975, df))


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_smallest_difference_is_found_four_times_in_five(n):
    d = planning.detectable(2.0, n, n - 1, student)
    values = np.random.default_rng(n).normal(d, 2.0, size=(20_000, n))
    t = values.mean(1) / (values.std(1, ddof=1) / np.sqrt(n))
    assert np.mean(np.abs(t) > student(n - 1)) == pytest.approx(0.8, abs=0.012)


def test_the_seeds_needed_for_what_these_seeds_can_show_are_these_seeds():
    d = planning.detectable(1.0, 5, 40, dunnett10)
    assert planning.seeds_needed(1.001 * d, 1.0, 5, 40, dunnett10) == 5
    assert planning.seeds_needed(-1.001 * d, 1.0, 5, 40, dunnett10) == 5
    assert planning.seeds_needed(0.97 * d, 1.0, 5, 40, dunnett10) == 6


def test_smaller_differences_take_more_seeds_until_it_is_hopeless():
    needed = [planning.seeds_needed(d, 1.0, 3, 20, dunnett10) for d in (50.0, 4.0, 2.0, 1.0, 0.3)]
    assert needed == sorted(needed)
    assert needed[0] == 2
    assert [planning.seeds_needed(d, 1.0, 3, 20, dunnett10) for d in (0.01, 0.0)] == [None, None]


def test_the_effect_size_is_unbiased():
    values = np.random.default_rng(0).normal(1.5, 1.0, size=(40_000, 5))
    sizes = [planning.hedges(mean, sd, 4) for mean, sd in zip(values.mean(1), values.std(1, ddof=1), strict=True)]
    assert np.mean(sizes) == pytest.approx(1.5, abs=0.02)
    assert planning.hedges(1.0, 1.0, 20) == pytest.approx(1 - 3 / (4 * 20 - 1), abs=1e-4)


@pytest.mark.parametrize(("sd", "df"), [(0.0, 10), (1.0, 1)])
def test_no_spread_or_too_little_of_it_has_no_effect_size(sd, df):
    assert np.isnan(planning.hedges(1.0, sd, df))
