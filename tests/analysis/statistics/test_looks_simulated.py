"""What benchmarks/statistics.md says of seeds that are added after a look, over 4,000 simulated studies each."""

import pytest
from simulated_looks import false_answers, false_claims, found

pytestmark = pytest.mark.slow
COUNT = 4_000


@pytest.mark.parametrize(
    "noise", ["normal", "baseline x4", "half with the baseline x4", "a tenth missing, baseline x4"]
)
def test_looks_at_three_six_and_ten_seeds_and_at_every_seed_err_in_at_most_five_and_a_half_per_cent(noise):
    first, *ways = false_claims(noise, 11, COUNT)
    assert max(ways) <= 5.5
    assert max(ways) - first <= 0.5
    assert max(false_claims(noise, 11, COUNT, planned=True)) <= 5.5


@pytest.mark.parametrize("noise", ["attention x4", "baseline x4"])
def test_so_do_looks_at_the_questions(noise):
    assert max(false_answers(noise, COUNT)) <= 5.5
    assert max(false_answers(noise, COUNT, planned=True)) <= 5.5


def test_later_looks_find_what_the_first_did_not():
    later, at_once, first = found("normal", 2.2, (3, 6, 10), 1_000)
    assert first + 20 <= later < at_once


def test_planned_looks_find_nearly_as_much_as_all_seeds_at_once():
    later, at_once, _ = found("normal", 2.2, (3, 6, 10), 1_000, planned=True)
    assert at_once - 8 <= later < at_once
