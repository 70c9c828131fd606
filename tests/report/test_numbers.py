"""No number, interval or bar of a report is one that an error can't be."""

import math
import re

import pytest
from studies import make_evaluations, make_records, make_sweep

from sklab.analysis.table.ablation import ablation_table
from sklab.report import numbers
from sklab.report.figures.evidence import power_figure
from sklab.report.figures.scatter import PARAMS, cost_figure
from sklab.report.figures.study import draw
from sklab.report.figures.style import means
from sklab.report.tables.columns import columns
from sklab.report.tables.terminal import terminal_table
from sklab.report.words import phrases, verdict
from sklab.report.words.answers import answers, question_grids
from sklab.spec.study.questions import Question
from sklab.spec.study.sweep import Metric

LOW = {"K3": [1.0, 4.0], "K5": [2.0, 2.5], "K7": [95.0, 99.9]}  # each interval leaves 0 to 100 on one side


def table_of(errors, **changes):
    return ablation_table(make_sweep(list(errors), (0, 1), **changes), make_records(errors))


def column(table, title):
    [found] = [column for column in columns(table) if column.title == title]
    return found, [found.text(row) for row in table.rows]


def test_an_interval_that_would_leave_0_to_100_is_cut_and_shows_its_ends():
    table = table_of(LOW)
    found, texts = column(table, "±95%")
    low, middle, high = ((row.mean, row.half) for row in table.rows)
    ends = [f"0.00 to {mean + half:.2f}" for mean, half in (low, middle)]
    assert texts == [*ends, f"{high[0] - high[1]:.2f} to 100.00"]
    assert found.legend.endswith("; where it would leave 0 to 100 %, its two ends, cut there.")
    assert phrases.value(table, table.rows[0]) == f"2.50 % ({ends[0]}, n = 2)"
    assert ends[0] in terminal_table(table)


def test_an_interval_within_is_a_half_width_and_nothing_is_said():
    table = table_of({"K3": [40.0, 41.0], "K5": [20.0, 21.5]})
    found, texts = column(table, "±95%")
    assert texts == [f"{row.half:.2f}" for row in table.rows]
    assert "cut" not in found.legend
    assert phrases.value(table, table.rows[0]) == f"40.50 ± {table.rows[0].half:.2f} % (n = 2)"


def test_a_loss_has_no_such_bounds():
    table = table_of(LOW, metric=Metric(name="val_loss"))
    assert column(table, "±95%")[1] == [f"{row.half:.4f}" for row in table.rows]
    assert numbers.can_be_found(table, 1e9)
    assert means(table.rows, [0], numbers.limits(table.sweep.metric))[1][0] == [table.rows[0].half]


def test_the_same_at_further_sizes():
    records = make_records(LOW)
    table = ablation_table(make_sweep(list(LOW), (0, 1), sizes=(64,)), records, make_evaluations(64, LOW))
    assert [column.text(table.rows[0]) for column in columns(table) if column.head == "±95%"][2] == "0.00 to 21.56"


def test_bars_of_errors_are_cut():
    table = table_of(LOW)
    middles, (below, above) = means(table.rows, [0, 1, 2], numbers.ERRORS)
    assert [middle - length for middle, length in zip(middles, below, strict=True)] == pytest.approx(
        [0, 0, table.rows[2].mean - table.rows[2].half]
    )
    assert middles[2] + above[2] == pytest.approx(100)
    [error, *_] = draw(table, {})
    assert "No bar goes beyond 0 or 100 %." in error.caption
    assert "No bar goes beyond" not in draw(table_of({"K3": [40.0, 41.0], "K5": [20.0, 21.5]}), {})[0].caption
    records = make_records(LOW)
    priced = {
        key: record.model_copy(update={"params": 1000 + len(record.cell) + int(record.cell[1])})
        for key, record in records.items()
    }
    drawn = cost_figure(ablation_table(make_sweep(list(LOW), (0, 1)), priced), PARAMS)
    assert "No bar goes beyond 0 or 100 %." in drawn.caption


def test_a_difference_that_can_not_be_is_never_found():
    table = table_of({"K3": [20.0, 30.0], "K5": [33.0, 22.0]})
    assert table.rows[1].baseline.detectable > 75
    found, texts = column(table, "detectable")
    assert texts == ["–", "none possible"]
    assert found.legend.endswith("; none possible: larger than errors within 0 and 100 % can differ from the baseline.")
    said = verdict.against_baseline(table)
    assert "these seeds have 80 % power for no difference that is possible" in said
    wide = table_of({"K3": [20.0, 21.0], "K5": [20.5, 24.3]})
    assert numbers.can_be_found(wide, wide.rows[1].baseline.detectable)
    for one in (table, wide):  # the second finds cells that are worse, none that is better
        assert power_figure(one).caption.endswith("It ends where the error would be 0 or 100 %.")


def test_what_can_be_is_a_number():
    table = table_of({"K3": [20.0, 21.0], "K5": [20.5, 21.3]})
    assert re.fullmatch(r"\d+\.\d\d", column(table, "detectable")[1][1])
    assert "none possible" not in column(table, "detectable")[0].legend
    assert numbers.can_be_found(table, math.nan)
    assert (numbers.can_be_found(table, 79.5), numbers.can_be_found(table, 79.6)) == (True, False)


def test_the_interval_of_a_difference_stays_within_what_errors_can_differ_by():
    table = table_of({"K3": [20.0, 30.0], "K5": [33.0, 22.0]})
    assert phrases.interval(table, table.rows[1].baseline) == "−100.00 to +100.00"


def test_nor_does_a_question_find_one():
    asked = {"K5": Question(cells=("K5",), against=("K3",))}
    table = table_of({"K3": [20.0, 60.0], "K5": [70.0, 22.0]}, questions=asked)
    [answer] = table.questions
    assert answer.versus.detectable > 100
    assert "This study has 80 % power for no difference that is possible." in " ".join(answers(table))
    assert "none possible" in question_grids(table)[0].rows[0]


def test_the_row_of_lowest_mean_is_the_best_one_only_where_all_others_are_worse():
    apart = {"K3": [20.0, 20.3], "K5": [10.0, 10.1], "K7": [30.0, 30.5]}
    _, texts = column(table_of(apart), "against best")
    assert texts == ["worse", "best", "worse"]
    _, texts = column(table_of({**apart, "K9": [10.1, 10.3]}), "against best")
    assert texts == ["worse", "lowest", "worse", "undecided"]
