from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference
from scipy.special import ncfdtr

from sklab.analysis.statistics.anova import _noncentrality, analyse, rows_differ


def design(rng, levels=(3, 2), seeds=4):
    """Runs of a full factorial: values, labels of factors a, b, c, and seeds."""
    runs = np.array(list(product(*map(range, levels), range(seeds))))
    factors = {name: [f"{name}{level}" for level in runs[:, at]] for at, name in enumerate("abc"[: len(levels)])}
    return rng.normal(size=len(runs)) + runs[:, 0] + rng.normal(0, 3, seeds)[runs[:, -1]], factors, list(runs[:, -1])


def numbers(analysis):
    return {effect.name: (effect.squares, effect.df, effect.f, effect.p) for effect in analysis.effects}


@pytest.mark.parametrize("missing", [[], [3, 7, 12]])
def test_the_table_is_that_of_statsmodels(missing):
    import pandas as pd
    import statsmodels.formula.api as smf
    from statsmodels.stats.anova import anova_lm

    values, factors, seeds = design(np.random.default_rng(0))
    values[missing] = np.nan
    frame = pd.DataFrame({"y": values, "seed": seeds, **factors}).dropna()
    expected = anova_lm(smf.ols("y ~ C(seed) + C(a) * C(b)", frame).fit(), typ=2)
    ours = analyse(values, factors, seeds)
    for name, row in (("a", "C(a)"), ("b", "C(b)"), ("a × b", "C(a):C(b)")):
        assert numbers(ours)[name] == pytest.approx(tuple(expected.loc[row]), rel=1e-6, abs=1e-9)
    assert (ours.squares, ours.df) == pytest.approx(tuple(expected.loc["Residual"][:2]))


def test_balanced_shares_add_up_and_the_design_needs_no_word():
    ours = analyse(*design(np.random.default_rng(1), (2, 3, 2)))
    assert [effect.name for effect in ours.effects] == ["a", "b", "c", "a × b", "a × c", "b × c", "higher order"]
    assert sum(effect.df for effect in ours.effects) == 11
    total = ours.squares / (1 - sum(effect.share for effect in ours.effects))
    assert ours.squares + sum(effect.squares for effect in ours.effects) == pytest.approx(total)
    assert ours.balanced


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_seeds_level_unit_and_order_do_not_matter(draw):
    rng = np.random.default_rng(draw)
    values, factors, seeds = design(rng)
    moved = 7 * (values + rng.normal(0, 9, 4)[seeds]) + 100
    order = rng.permutation(len(values))
    shuffled = {name: [labels[at] for at in order] for name, labels in factors.items()}
    again = analyse(moved[order], shuffled, [seeds[at] for at in order])
    for effect, other in zip(analyse(values, factors, seeds).effects, again.effects, strict=True):
        pair = [
            (one.f, one.p, one.share, one.share_low, one.share_high, one.size, one.low, one.high)
            for one in (effect, other)
        ]
        assert pair[0] == pytest.approx(pair[1], rel=1e-4, abs=1e-6)


def test_a_missing_cell_leaves_less_to_the_interaction_and_is_announced():
    values, factors, seeds = design(np.random.default_rng(2))
    gone = [at for at, (a, b) in enumerate(zip(factors["a"], factors["b"], strict=True)) if (a, b) == ("a0", "b1")]
    values[gone] = np.nan
    ours = analyse(values, factors, seeds)
    assert [effect.df for effect in ours.effects] == [2, 1, 1]
    assert (ours.combinations, ours.full, ours.balanced) == (20, 24, False)


def test_one_seed_is_no_test():
    values, factors, seeds = design(np.random.default_rng(3), seeds=1)
    ours = analyse(values, factors, seeds)
    assert np.isnan(
        [(effect.f, effect.p, effect.share_high, effect.size, effect.high) for effect in ours.effects]
    ).all()
    assert (ours.df, ours.balanced) == (0, True)


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_what_rounding_leaves_is_no_error_to_test_with(precision):
    values = (precision(100) * np.array([199, 172, 202, 175], precision) / precision(1000)).astype(np.float64)
    [effect] = analyse(values, {"a": ["0", "0", "1", "1"]}, [0, 1, 0, 1]).effects
    assert np.isnan([effect.f, effect.p, effect.low, effect.share_high]).all()


def test_a_factor_of_one_level_has_no_line():
    values, factors, seeds = design(np.random.default_rng(4), (3, 1))
    assert [effect.name for effect in analyse(values, factors, seeds).effects] == ["a"]


def test_intervals_hold_the_true_share_nearly_always():
    rng, levels = np.random.default_rng(5), np.array([0.0, 0.5, 1.0])
    runs = np.array(list(product(range(3), range(5))))
    noncentrality = 5 * ((levels - levels.mean()) ** 2).sum()
    truth, held = noncentrality / (noncentrality + 15), 0
    for _ in range(500):
        effect = analyse(levels[runs[:, 0]] + rng.normal(size=15), {"a": list(runs[:, 0])}, list(runs[:, 1])).effects[0]
        held += effect.low <= truth <= effect.high
    assert held / 500 == pytest.approx(0.95, abs=0.025)


@pytest.mark.slow
@pytest.mark.parametrize("truth", [(0.0, 0.0), (0.1, 0.1), (0.5, 0.1), (0.4, 0.3)])
def test_intervals_of_shares_hold_the_true_shares_at_least_as_often_as_they_say(truth):
    """Of two factors of 3 and 2 levels without interaction; `truth` is their parts of all spread in the population."""
    rng = np.random.default_rng(int(10 * sum(truth)))
    _, factors, blocks = design(rng, (3, 2), 3)
    a, b = (np.array([int(label[1]) for label in factors[name]]) for name in "ab")
    to_error = np.array(truth) / (1 - sum(truth))
    mean = np.sqrt(to_error[0] * 1.5) * (a - 1) + np.sqrt(to_error[1]) * (2 * b - 1)
    held = np.zeros(3)
    for _ in range(500):
        effects = analyse(mean + rng.normal(size=len(a)), factors, blocks).effects
        within = zip(effects, (*truth, 0.0), strict=True)
        held += [effect.share_low - 1e-9 <= part <= effect.share_high + 1e-9 for effect, part in within]
    assert (held / 500 >= 0.93).all()


def test_intervals_of_shares_hold_the_share_of_a_factor_that_matters():
    for draw in range(20):
        effect = analyse(*design(np.random.default_rng(draw))).effects[0]
        assert 0 <= effect.share_low < effect.share < effect.share_high < 1
        assert (effect.share_low > 0) == (effect.p < 0.025)


def test_one_factor_of_two_levels_is_the_paired_t_test():
    values = np.array([1.0, 2.0, 4.0, 2.0, 2.5, 5.5])
    effect = analyse(values, {"a": ["x"] * 3 + ["y"] * 3}, [0, 1, 2] * 2).effects[0]
    assert effect.p == pytest.approx(reference.ttest_rel(values[3:], values[:3]).pvalue)


@pytest.mark.parametrize("f", [12.0, 1e4, 1e7])
def test_intervals_hold_effects_of_any_size(f):
    """A library's inverse ends at a noncentrality of 10,000."""
    low, high = (_noncentrality(f, 1, 8, probability) for probability in (0.975, 0.025))
    assert [float(ncfdtr(1, 8, each, f)) for each in (low, high)] == pytest.approx([0.975, 0.025], rel=1e-6)


def test_two_rows_differ_by_the_paired_t_test():
    rows = np.random.default_rng(3).normal(size=(2, 5))
    assert rows_differ(rows) == pytest.approx(reference.ttest_rel(*rows).pvalue)


def test_more_rows_differ_by_f_with_the_degrees_of_freedom_of_their_covariance():
    rows = np.random.default_rng(4).normal(size=(4, 6)) + np.array([[0.0], [0.5], [1.0], [1.5]])
    centre = np.eye(4) - 0.25
    covariance = centre @ np.cov(rows) @ centre
    epsilon = np.trace(covariance) ** 2 / (3 * np.trace(covariance @ covariance))
    left = rows - rows.mean(1, keepdims=True) - rows.mean(0) + rows.mean()
    f = 6 * rows.mean(1).var(ddof=1) / ((left**2).sum() / 15)
    assert rows_differ(rows) == pytest.approx(reference.f.sf(f, 3 * epsilon, 15 * epsilon))


@given(st.permutations(range(4)), st.floats(-5, 5), st.floats(0.1, 10))
def test_order_level_unit_gaps_and_what_a_seed_does_to_all_rows_do_not_matter(order, level, unit):
    rng = np.random.default_rng(5)
    rows, of_seed = rng.normal(size=(4, 3)), rng.normal(size=3)
    moved = np.vstack([unit * rows[order] + level + of_seed, [1.0, np.nan, 2.0]])
    assert rows_differ(moved) == pytest.approx(rows_differ(rows), rel=1e-6)


@pytest.mark.parametrize(
    "rows", [np.ones((0, 3)), np.ones((1, 3)), np.ones((4, 1)), np.add.outer([1, 2, 4], [1, 2, 3])]
)
def test_rows_of_one_seed_or_without_anything_left_are_no_test(rows):
    assert np.isnan(rows_differ(rows))


@pytest.mark.parametrize("factors", [1, 2, 10])
def test_rows_that_vary_together_are_seldom_told_apart_by_chance(factors):
    rng = np.random.default_rng(factors)
    studies = (
        rng.normal(size=(10, factors)) @ rng.normal(size=(factors, 3)) + 0.3 * rng.normal(size=(10, 3))
        for _ in range(2000)
    )
    assert np.mean([rows_differ(study) < 0.05 for study in studies]) < 0.065


def test_rows_that_differ_by_much_are_told_apart():
    rng = np.random.default_rng(6)
    assert rows_differ(np.arange(10.0)[:, None] + 0.3 * rng.normal(size=(10, 3))) < 0.01
