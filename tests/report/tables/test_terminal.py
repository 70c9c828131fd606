import pytest
from example_study import hostile, kernels
from studies import make_records, make_sweep

from sklab.analysis.table.ablation import ablation_table
from sklab.report.tables.terminal import terminal_table


@pytest.mark.parametrize("study", [kernels, hostile])
def test_the_table_fits_a_terminal(study):
    lines = terminal_table(ablation_table(*study())).splitlines()
    assert max(len(line) for line in lines if " " in line.strip()) <= 140
    assert all(line.isprintable() for line in lines)


def test_the_table_of_a_usual_study_stays_within_120_columns():
    assert max(map(len, terminal_table(ablation_table(*kernels())).splitlines())) <= 120


def test_columns_stand_under_each_other():
    head, rule, *rows = terminal_table(ablation_table(*kernels())).splitlines()
    at = head.index("error %") + len("error %")
    assert len(rule) >= len(head)
    assert [row[:at].split()[-1] for row in rows[:2]] == ["12.12", "15.22"]


def test_a_row_without_numbers_says_why():
    text = terminal_table(ablation_table(*kernels()))
    assert "0/3  no complete run: 3 diverged" in text
    assert "0/0  invalid: branch 1: G = 7 does not divide C = 16" in text


def test_the_end_says_what_came_out():
    text = terminal_table(
        ablation_table(make_sweep(), make_records({"K3": [20.0, 21.0, 22.5], "K5": [18.0, 19.5, 20.0]}))
    )
    assert "6 of 6 runs complete" in text
    assert "Against the baseline K3, 21.17 ± 2.87 % (n = 3): better is K5 (−2.00 ± 1.24, p = 0.020)" in " ".join(
        text.split()
    )


def test_images_that_were_left_out_are_told():
    records = make_records({"K3": [20.0, 21.0], "K5": [18.0, 19.5]})
    skipping = {key: record.model_copy(update={"skipped_images": 3}) for key, record in records.items()}
    told = "3 images that can't be decoded left out of 4 runs"
    assert told in " ".join(terminal_table(ablation_table(make_sweep(), skipping)).split())
    assert "decoded" not in terminal_table(ablation_table(make_sweep(), records))


def test_an_empty_study_has_a_table():
    assert "No run is complete yet" in terminal_table(ablation_table(make_sweep(), {}))


def test_a_long_name_is_cut():
    table = ablation_table(make_sweep(["K" * 300]), make_records({"K" * 300: [20.0, 21.0]}))
    assert "K" * 40 not in terminal_table(table).split("\n\n")[0]
