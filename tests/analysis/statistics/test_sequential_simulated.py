"""What benchmarks/statistics.md says of looking after every seed, over 10,000 simulated studies each."""

import pytest
from simulated import NOISES
from simulated_race import EFFECTS, beside_fixed, false_alarms, questions

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("cells", [4, 11])
@pytest.mark.parametrize("noise", NOISES)
def test_false_alarms_under_looks_at_every_seed_stay_below_five_and_a_half_per_cent(noise, cells):
    assert false_alarms(noise, cells, 10_000)[0] <= 5.5


@pytest.mark.parametrize("effects", EFFECTS)
def test_the_verdicts_of_ten_seeds_come_with_sixty_per_cent_of_the_runs(effects):
    runs, same, found, found_by_ten = beside_fixed(effects, 2_000)
    assert runs <= 60
    assert same >= 95
    assert found >= found_by_ten - 13


@pytest.mark.parametrize("noise", ["normal", "one cell x4", "attention x4", "baseline x4", "a tenth missing"])
def test_questions_under_looks_at_every_seed_err_in_at_most_five_and_a_half_per_cent(noise):
    assert questions(noise, 5_000)[0] <= 5.5


def test_a_question_that_is_settled_early_saves_runs():
    _, first, runs = questions("normal", 2_000, effect=1.3)
    assert first >= 90
    assert runs <= 70
