"""What is said of attention as objects grow, against the verdicts of the units."""

from pathlib import Path

from sklab.analysis.attention.cells import AttentionResults
from sklab.report.build import study_table
from sklab.report.figures.attention import read, trend_rows
from sklab.report.words import verdict
from sklab.report.words.attention_trend import attention_trend

EXAMPLE = Path(__file__).parents[3] / "results/example-scale"


def test_the_shipped_study_is_answered_by_its_units():
    seen = read(EXAMPLE, study_table(EXAMPLE))
    rising = [row for row in trend_rows(seen) if row[0] == "SK" and row[-1] == "rises"]
    said = attention_trend(seen)
    assert said.startswith(
        f"As objects grow, attention turns to the larger kernel in {len(rising)} of the 6 units of SK"
    )
    assert "flat in SK_4_2)" in said
    untold = [row for row in trend_rows(seen) if row[0] == "SK untrained" and row[-1] == "cannot tell"]
    assert f"in none of the 6 units of SK untrained ({len(untold)} undecided" in said


def test_it_comes_first_where_no_question_is_planned():
    table = study_table(EXAMPLE)
    assert verdict.result(table, "Attention rises.").startswith("Attention rises.")
    assert not any(line.startswith("Attention rises.") for line in verdict.further(table, "Attention rises."))


def test_without_attention_nothing_is_said():
    assert attention_trend(AttentionResults()) == ""
