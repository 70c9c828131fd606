"""Questions on thousands of simulated studies: false claims, coverage, power beside the table's comparison."""

import numpy as np
import pytest
import simulated_questions as simulated
from simulated import rejects

pytestmark = pytest.mark.slow

COUNT = 10_000
CHANCE = 0.5  # two standard errors of a percentage near 5 of 10,000 studies, and a bit


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("noise", simulated.NOISES)
def test_a_family_of_questions_errs_in_at_most_five_and_a_half_of_a_hundred(noise, seeds):
    together, first, *_ = simulated.false_claims(noise, seeds, COUNT)
    assert together <= 5.5 + CHANCE
    assert first <= 6.0 + CHANCE


@pytest.mark.parametrize("noise", ["normal", "one cell x4", "attention x4", "a tenth missing"])
def test_the_interval_of_a_mean_over_pairs_holds_in_95_of_100(noise):
    _, first, *_ = simulated.false_claims(noise, 5, COUNT)
    assert 4.0 - CHANCE <= first <= 6.0 + CHANCE


@pytest.mark.parametrize("noise", ["normal", "attention x4", "one cell x4"])
def test_pairs_that_agree_are_seldom_said_to_disagree(noise):
    assert simulated.disagreeing(noise, 3, COUNT) <= 5.5 + CHANCE


def test_a_question_finds_what_the_table_does_not_ask():
    """All four cells with attention gain one standard deviation of a run: the question sees it, the table does not."""
    asked = simulated.power("normal", 3, 1.0, COUNT)
    values = simulated.drawn("normal", COUNT, 3, np.random.default_rng(3))
    values[:, simulated.WITH_ATTENTION] -= 1.0
    assert asked >= 30
    assert 100 * rejects(values)[:, simulated.K3K5SK - 1].mean() < asked / 2
