"""Error and power with more seeds of the baseline, as benchmarks/statistics.md states them."""

import pytest
from simulated_further import BASELINES, CORRELATIONS, RUNS, as_without, half_width, power, wrong

pytestmark = pytest.mark.slow
COUNT, ALLOWANCE = 4000, 0.9  # studies, and two and a half standard errors of a share of 5.5 % among them


@pytest.mark.parametrize("runs", RUNS)
@pytest.mark.parametrize("correlation", CORRELATIONS)
@pytest.mark.parametrize("baseline", BASELINES)
def test_further_runs_of_the_baseline_keep_the_error(runs, correlation, baseline):
    assert wrong((11, 3, runs, correlation, baseline), COUNT) <= 5.5 + ALLOWANCE


@pytest.mark.parametrize(("cells", "seeds", "runs"), [(5, 3, 6), (4, 4, 7)])
@pytest.mark.parametrize("baseline", BASELINES)
def test_so_they_do_in_small_tables(cells, seeds, runs, baseline):
    assert wrong((cells, seeds, runs, 0, baseline), COUNT) <= 5.5 + ALLOWANCE


def test_39_runs_find_differences_of_two_standard_deviations_twice_as_often():
    setting = (11, 3, 9, 0, 1)
    assert power(setting, count=20_000) >= 45 - 0.3  # 45.1 of 200,000 studies
    assert power(setting, as_without) <= 22


def test_where_seeds_differ_nothing_is_lost():
    setting = (11, 3, 9, 0.9, 1)
    assert power(setting) >= power(setting, as_without) - 0.3


@pytest.mark.parametrize(("runs", "half"), [(6, 2.2), (9, 2.1)])
def test_half_widths_shrink_by_a_third(runs, half):
    found, without = half_width((11, 3, runs, 0, 1))
    assert found == pytest.approx(half, abs=0.1)
    assert without == pytest.approx(3.3, abs=0.1)
