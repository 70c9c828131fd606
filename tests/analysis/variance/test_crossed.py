"""Intervals for new seeds and images: measured coverage, and agreement with formulas and programs of others."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, stdtrit
from scipy.stats import ttest_1samp

from sklab.analysis.statistics import blocks
from sklab.analysis.statistics.compare import compare
from sklab.analysis.variance.crossed import crossed, deviations, half_width, mcnemar, one_run_each
from sklab.analysis.variance.noise import noise_of

CONTRASTS = np.array([[-1, 1, 0, 0], [-1, 0, 1, 0], [-1, 0, 0, 1.0]])
LOWER, HIGHER = -1.0, -0.8  # places of the baseline and of the other cells on the latent scale


def study(
    random: np.random.Generator, shape: tuple[int, int, int, int], sources: np.ndarray | None, sd: tuple[float, float]
) -> tuple[np.ndarray, float]:
    """Wrong images in %, (studies, cells, seeds, images), by a latent scale: a run differs from the others of its cell
    with sd[0]; what a cell finds hard differs from cell to cell with sd[1], in images and in their sources alike. And
    the true difference of each other cell from the first, over all seeds and images."""
    studies, cells, seeds, images = shape
    place = np.where(np.arange(cells) == 0, LOWER, HIGHER)[:, None, None]
    run = sd[0] * random.standard_normal((studies, cells, seeds, 1))
    cell = sd[1] * random.standard_normal((studies, cells, 1, images))
    total = 2 + sd[0] ** 2 + sd[1] ** 2
    if sources is not None:
        cell = cell + sd[1] * random.standard_normal((studies, cells, 1, sources.max() + 1))[..., sources]
        total += sd[1] ** 2
    image = random.standard_normal((studies, 1, 1, images))
    latent = place + run + cell + image + random.standard_normal(shape)
    return 100.0 * (latent > 0), 100 * float(ndtr(HIGHER / math.sqrt(total)) - ndtr(LOWER / math.sqrt(total)))


def halves(runs: np.ndarray, sources: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of one study (cells, seeds, images): differences from the first cell, their half widths for new seeds and those
    for new seeds and images."""
    effects = crossed(deviations(runs, sources))
    versus = compare(runs.mean(-1), 0).rows[1:]
    error, df, half, difference = (
        np.array([getattr(row, name) for row in versus]) for name in ("error", "df", "half", "difference")
    )
    weights = np.eye(len(runs))[1:] - np.eye(len(runs))[0]
    return difference, half, half_width(error, df, half, effects.standard_error(weights, error, df))


@pytest.mark.slow
@pytest.mark.parametrize("groups", [None, 40, 10], ids=["single images", "40 sources", "10 sources"])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_intervals_of_a_table_cover_new_seeds_and_images_together(seeds, groups):
    random, cells, images = np.random.default_rng(seeds), 4, 200
    sources = None if groups is None else np.arange(images) % groups
    by_seed, by_both = [], []
    for _ in range(50):
        runs, truth = study(random, (100, cells, seeds, images), sources, (0.1, 0.6))
        errors, effects = blocks.standard_errors(runs.mean(-1), 0), crossed(deviations(runs, sources))
        error, df = errors.error[:, 1:], np.broadcast_to(errors.df[:, None], (100, cells - 1))
        half, off = blocks.half_widths(errors)[:, 1:], np.abs(errors.difference[:, 1:] - truth)
        both = half_width(error, df, half, effects.standard_error(CONTRASTS, error, df))
        by_seed += (off <= half).all(1).tolist()
        by_both += (off <= both).all(1).tolist()
    assert 0.937 <= np.mean(by_both) <= (0.972 if seeds == 3 else 0.963)
    assert groups is None or np.mean(by_seed) < 0.9, "intervals for new seeds alone do not hold for new images"


def test_one_run_each_agrees_with_mcnemars_exact_test_of_statsmodels():
    from statsmodels.stats.contingency_tables import mcnemar as theirs

    random = np.random.default_rng(0)
    for images, changed in ((50, 0.5), (400, 0.1), (400, 0.02), (2000, 0.3)):
        first = 100.0 * (random.random(images) < 0.3)
        second = np.where(random.random(images) < changed, 100.0 * (random.random(images) < 0.35), first)
        table = [[int((((first > 0) == a) & ((second > 0) == b)).sum()) for b in (True, False)] for a in (True, False)]
        half, p = one_run_each(first, second, None)
        assert p == pytest.approx(theirs(table, exact=True).pvalue, rel=1e-9)
        difference = second - first
        assert half == pytest.approx(stdtrit(images - 1, 0.975) * difference.std(ddof=1) / math.sqrt(images))


def test_no_image_changed_is_no_evidence():
    same = np.array([0.0, 100.0, 0.0])
    assert all(map(math.isnan, one_run_each(same, same, None)))
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 0) == pytest.approx(2 / 32)


def test_losses_and_sources_are_compared_by_t():
    random = np.random.default_rng(1)
    first, second = random.exponential(size=(2, 60))
    assert one_run_each(first, second, None)[1] == pytest.approx(ttest_1samp(second - first, 0).pvalue)
    sources = np.repeat(np.arange(20), 3)
    by_source = (second - first).reshape(20, 3).mean(1)
    assert one_run_each(first, second, sources)[1] == pytest.approx(ttest_1samp(by_source, 0).pvalue)


@given(st.integers(0, 2**31), st.integers(2, 5), st.integers(2, 4), st.booleans())
@settings(max_examples=40)
def test_with_all_runs_there_the_parts_are_the_mean_squares_of_a_crossed_table(seed, seeds, cells, grouped):
    random = np.random.default_rng(seed)
    values = random.standard_normal((cells, seeds, 24))
    sources = np.repeat(np.arange(8), 3) if grouped else None
    weights = np.eye(cells)[1:] - np.eye(cells)[0]
    effects = crossed(deviations(values, sources))
    spread, noise = effects.parts(weights)
    for at in range(cells - 1):
        table = values[at + 1] - values[0]  # seeds x images
        table = table.reshape(seeds, 8, 3).mean(-1) if grouped else table
        groups = table.shape[1]
        rest = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
        assert spread[at] == pytest.approx(table.mean(0).var(ddof=1) / groups)
        assert noise[at] == pytest.approx((rest**2).sum() / ((seeds - 1) * (groups - 1)) / seeds / groups)


@given(st.integers(0, 2**31))
@settings(max_examples=20)
def test_seeds_that_only_some_cells_have_leave_the_noise_unbiased(seed):
    random = np.random.default_rng(seed)
    there = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 0, 0]], dtype=bool)
    shared, own = random.standard_normal((1, 6, 4000)), random.standard_normal((3, 6, 4000))
    values = np.where(there[..., None], shared + own, np.nan)
    effects = crossed(deviations(values))
    weights = np.array([[-1.0, 1, 0], [0, -1, 1]])
    shares = weights[:, :, None] * there / there.sum(1)[:, None]
    expected = ((shares**2).sum((1, 2)) + (shares.sum(1) ** 2).sum(1)) / 4000
    assert effects.parts(weights)[1] == pytest.approx(expected, rel=0.2)


def test_a_cell_with_one_run_takes_no_part_and_spoils_no_other():
    values = np.random.default_rng(0).standard_normal((3, 3, 50))
    values[2, 1:] = np.nan
    spread, noise = crossed(deviations(values)).parts([[-1.0, 1, 0], [-1.0, 0, 1]])
    assert np.isfinite(spread).all()
    assert [*np.isnan(noise)] == [False, True]


def test_the_interval_is_never_narrower_than_that_for_new_seeds():
    random = np.random.default_rng(3)
    for _ in range(50):
        runs = random.standard_normal((4, 3, 30)) + random.standard_normal((4, 3, 1))
        difference, half, both = halves(runs, None)
        assert (both >= half).all()
        assert np.isfinite(difference).all()


def test_the_noise_of_a_table_is_split_into_few_images_and_training():
    random, seeds, images = np.random.default_rng(0), 400, 100
    chance, run = random.standard_normal((3, seeds, images)), 0.2 * random.standard_normal((3, seeds, 1))
    values = 10 + run + chance
    noise = noise_of(values.mean(-1), crossed(deviations(values)))
    assert noise is not None
    assert noise.images == pytest.approx(1 / images, rel=0.02)
    assert noise.training == pytest.approx(0.04, rel=0.15)
    assert noise.share == pytest.approx(0.2, abs=0.03)
    assert noise.sd() ** 2 == pytest.approx(float(blocks.fit(values.mean(-1)).variance))
    assert noise.sd(4) ** 2 == pytest.approx(noise.images / 4 + noise.training)
    assert noise.worth(1) == 1


def test_chance_is_never_more_than_all_of_the_spread():
    random = np.random.default_rng(0)
    values = random.standard_normal((2, 2, 40))
    values -= values.mean(-1, keepdims=True) - np.array([[0.0, 0.001], [0.0, -0.001]])[..., None]
    noise = noise_of(values.mean(-1), crossed(deviations(values)))
    assert noise is not None
    assert noise.share == 1
    assert noise_of(np.zeros((2, 2)), crossed(deviations(values))) is None
