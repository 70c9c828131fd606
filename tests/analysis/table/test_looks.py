import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr
from simulated import studies
from simulated_looks import adjusted_p

from sklab.analysis.statistics import contrasts
from sklab.analysis.statistics.boundaries import LATER, PLANNED, levels_of_looks
from sklab.analysis.statistics.compare import compare
from sklab.analysis.table.looks import judged

WEIGHTS = np.array([[-1.0, 1, 0, 0], [0, -0.5, -0.5, 1]])


def of_cells(values, alpha):
    return compare(values, 0, alpha).rows


def of_questions(values, alpha):
    return contrasts.family(values, WEIGHTS, alpha)


def study(seed, *effects, cells=4, seeds=10):
    values = studies("normal", 1, cells, seeds, np.random.default_rng(seed))[0]
    values[1 : 1 + len(effects)] += np.array(effects)[:, None]
    return values


def later(values, *looks, judge=of_cells):
    """The answers after looks at these numbers of seeds, none of them planned."""
    seeds = (*looks, values.shape[1])
    return judged(values, [values[:, :n] for n in looks], levels_of_looks(seeds, seeds[0]), judge)


def test_without_a_plan_the_first_look_has_all_of_the_five_per_cent_and_the_later_ones_next_to_nothing():
    first, *after = levels_of_looks((3, 6, 10), 3)
    assert first == 0.05
    assert 0.002 > after[0] > after[1] > 0
    assert levels_of_looks((3,), 3) == (0.05,)


def test_with_a_plan_every_look_has_its_part():
    first, middle, last = levels_of_looks((3, 6, 10), 10)
    assert first == pytest.approx(PLANNED * 3 / 10)
    assert first < middle < last < PLANNED
    assert levels_of_looks((10,), 10) == (0.05,)


@pytest.mark.parametrize("way", [(3, 6, 10), tuple(range(3, 11)), (2, 9), (4.5, 6, 7.2)])
@pytest.mark.parametrize("planned", [0, -1])
def test_levels_spend_what_is_planned_and_the_addition_beyond(way, planned):
    """By simulation of the sums themselves: a million walks."""
    walks = np.zeros((1_000_000, 0))
    rng, total = np.random.default_rng(0), np.zeros(1_000_000)
    for before, n in zip((0, *way), way, strict=False):
        total = total + np.sqrt(n - before) * rng.standard_normal(len(total))
        walks = np.column_stack([walks, total / np.sqrt(n)])
    crossed = 2 * ndtr(-np.abs(walks)) < levels_of_looks(way, way[planned])
    within = crossed[:, np.array(way) <= way[planned]].any(1)
    assert within.mean() == pytest.approx(PLANNED if planned else 0.05, abs=0.001)
    late = crossed.any(1) & ~within
    assert late.mean() == pytest.approx(LATER * (1 - way[planned] / way[-1]), abs=0.0001)


@pytest.mark.parametrize("judge", [of_cells, of_questions])
def test_a_study_looked_at_once_is_judged_as_ever(judge):
    values = study(0, 4.0)
    assert repr(later(values, judge=judge)) == repr(tuple(judge(values, 0.05)))


@pytest.mark.parametrize("judge", [of_cells, of_questions])
@given(seed=st.integers(0, 10_000), effect=st.sampled_from([0.0, 1.5, 2.5, 4.0]))
@settings(max_examples=20, deadline=None)
def test_a_later_look_claims_no_more_than_its_level_and_the_claims_before_it(judge, seed, effect):
    values = study(seed, effect, seeds=6)
    before, plain = judge(values[:, :3], 0.05), judge(values, 0.05)
    for was, at_once, now in zip(before, plain, later(values, 3, judge=judge), strict=True):
        claim = at_once.adjusted < levels_of_looks((3, 6), 3)[1]
        stands = at_once.adjusted < 0.05 and was.verdict() == at_once.verdict()
        assert (now.adjusted < 0.05) == (claim or stands)
        if not np.isnan(now.half):
            assert now.half >= at_once.half


def test_interval_and_p_of_a_later_look_say_the_same():
    """For cells pooled by Dunnett's test the interval leaves out zero where p is below 0.05."""
    for seed in range(40):
        for now in later(study(seed, 2.0, 1.0, seeds=6), 3)[1:]:
            if now.test == "block":
                assert (abs(now.difference) > now.half) == (now.adjusted < 0.05)


def test_a_claim_falls_that_all_seeds_no_longer_carry():
    values = study(1, seeds=9)
    values[1, :3] = values[0, :3] + [6.0, 6.1, 5.9]
    values[1, 3:] = values[0, 3:] + np.resize([-2.9, -3.1], 6)
    assert of_cells(values[:, :3], 0.05)[1].verdict() == "higher"
    assert later(values, 3)[1].verdict() == "undecided"


def test_a_later_look_asks_for_more_seeds_than_one_look_would():
    values = study(3, 1.0, seeds=6)
    at_once, now = of_cells(values, 0.05)[1], later(values, 3)[1]
    assert now.needed > at_once.needed
    assert now.detectable > at_once.detectable


def test_a_cell_without_runs_has_no_test_at_any_look():
    values = study(4, seeds=6)
    values[2] = np.nan
    assert repr(later(values, 3)[2]) == repr(of_cells(values, 0.05)[2])


@pytest.mark.parametrize("noise", ["normal", "one cell x16", "a tenth missing, one cell x4"])
def test_the_simulation_has_the_p_of_the_table(noise):
    values = studies(noise, 40, 6, 4, np.random.default_rng(7))
    expected = np.nan_to_num([[row.adjusted for row in compare(table, 0).rows[1:]] for table in values], nan=1)
    claims, found = expected < 0.05, adjusted_p(values)
    assert found[claims] == pytest.approx(expected[claims], rel=1e-9)
    assert not (found[~claims] < 0.05).any()
