"""The errors at further image sizes in the table's numbers."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from studies import failed_record, key_of, make_evaluations, make_records, make_sweep

from sklab.analysis.frames.table import data_frame
from sklab.analysis.statistics.intervals import mean_interval
from sklab.analysis.table.ablation import ablation_table
from sklab.analysis.table.rows import AblationTable, AtSize
from sklab.spec.study.sweep import InvalidCell, Published, PublishedRow

ERRORS = {"K3": [20.0, 21.0, 22.5], "K5": [18.0, 19.5, 20.0]}
AT_320 = {"K3": [19.0, 19.5, 21.5], "K5": [17.0, None, 18.5]}
PUBLISHED = Published(
    source="a table",
    data="ImageNet-1k",
    rows={"K3": PublishedRow(error=22.23, errors={320: 21.05}), "K5": PublishedRow(error=20.79)},
)


def table_of(**changes: object) -> AblationTable:
    return ablation_table(make_sweep(sizes=(320,), **changes), make_records(ERRORS), make_evaluations(320, AT_320))


def test_numbers_are_over_the_runs_that_were_evaluated():
    whole, partial = (row.at_size[320] for row in table_of().rows)
    assert (whole.n, partial.n) == (3, 2)
    assert (whole.mean, partial.mean) == (20.0, 17.75)
    # two values: t quantile of one degree of freedom times half their distance
    assert partial.half == pytest.approx(12.7062 * 0.75, rel=1e-5)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.none() | st.floats(0, 100), min_size=1, max_size=5))
def test_any_share_of_the_runs_may_have_been_evaluated(errors):
    seeds = range(len(errors))
    records = make_records({"K3": [20.0 + seed for seed in seeds]})
    table = ablation_table(make_sweep(["K3"], seeds, sizes=(320,)), records, make_evaluations(320, {"K3": errors}))
    known = [error for error in errors if error is not None]
    there = table.rows[0].at_size[320]
    assert there.n == len(known)
    assert there.mean == (pytest.approx(statistics.fmean(known)) if known else None)
    expected = float(mean_interval(known).half) if known else math.nan
    assert there.half == (None if math.isnan(expected) else pytest.approx(expected))


def test_what_a_run_that_is_not_complete_left_enters_no_number():
    records = make_records(ERRORS) | {key_of("K3", 2): failed_record("K3", 2)}
    table = ablation_table(make_sweep(sizes=(320,)), records, make_evaluations(320, AT_320))
    assert table.rows[0].at_size[320].n == 2


def test_the_frame_has_the_numbers_and_the_published_ones():
    invalid = (InvalidCell(name="K9", reason="no"),)
    frame = data_frame(table_of(published=PUBLISHED, invalid=invalid)).set_index("cell")
    assert frame["error_320_n"].tolist() == [3, 2, 0]
    assert frame["error_320_mean"].tolist()[:2] == [20.0, 17.75]
    assert math.isnan(frame["error_320_half"]["K9"])
    assert frame["published_error_320"]["K3"] == 21.05
    assert math.isnan(frame["published_error_320"]["K5"])


def test_a_factor_called_like_such_a_column_stands_apart():
    table = table_of(columns=("error_320_mean",))
    assert {"factor error_320_mean", "error_320_mean"} <= set(data_frame(table).columns)


def test_a_study_that_states_no_sizes_shows_none_whatever_lies_there():
    sweep, records = make_sweep(), make_records(ERRORS)
    table = ablation_table(sweep, records, make_evaluations(320, AT_320))
    assert all(row.at_size == {} for row in table.rows)
    assert data_frame(table).equals(data_frame(ablation_table(sweep, records)))


def test_nothing_evaluated_yet_is_no_number():
    table = ablation_table(make_sweep(sizes=(320,)), make_records(ERRORS))
    assert [row.at_size[320] for row in table.rows] == [AtSize(0, None, None)] * 2
