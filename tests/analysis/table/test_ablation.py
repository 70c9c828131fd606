import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference
from studies import failed_record, key_of, make_record, make_records, make_sweep

from sklab.analysis.frames.table import data_frame
from sklab.analysis.statistics.compare import FEW, compare, means
from sklab.analysis.table.ablation import ablation_table
from sklab.spec.study.sweep import Cell, InvalidCell, Metric, Published, PublishedRow

ERRORS = {"K3": [20.0, 21.0, 22.5], "K5": [18.0, 19.5, 20.0], "K7": [30.0, 31.2, 32.0]}


@pytest.fixture(scope="module")
def table():
    return ablation_table(make_sweep(list(ERRORS)), make_records(ERRORS))


def test_numbers_are_those_of_the_runs(table):
    row = table.rows[1]
    assert (row.name, row.n, row.planned) == ("K5", 3, 3)
    assert row.mean == pytest.approx(19.1666667)
    assert row.half == means(list(ERRORS.values()), table.choice).half[1]
    assert [run.value for run in row.runs] == ERRORS["K5"]
    assert [run.key for run in row.runs] == [key_of("K5", seed) for seed in range(3)]


def test_rows_are_compared_with_the_baseline_by_the_choice_that_the_table_carries(table):
    found = compare([ERRORS[name] for name in ("K3", "K5", "K7")], 0)
    assert table.rows[0].baseline is None
    assert [row.baseline for row in table.rows[1:]] == list(found.rows[1:])
    assert (table.choice.method, table.choice.why) == (found.choice.method, found.choice.why)
    assert [row.verdict for row in table.rows] == [None, "better", "worse"]
    assert table.rows[1].baseline.difference == pytest.approx(-2.0)
    assert [row.seeds_missing for row in table.rows[1:]] == [0, 0]  # they are told apart, whatever others would need


def test_a_row_of_a_table_that_is_not_pooled_has_the_t_interval_of_its_own_runs():
    errors = {"K3": [20.0, 21.0, None, None], "K5": [None, None, 18.0, 19.5]}
    row = ablation_table(make_sweep(list(errors), range(4)), make_records(errors)).rows[1]
    low, high = reference.t.interval(0.95, 1, loc=row.mean, scale=reference.sem([18.0, 19.5]))
    assert row.half == pytest.approx((high - low) / 2)


def test_a_missing_run_shows_in_the_choice():
    lacking = {**ERRORS, "K7": [30.0, 31.2, None]}
    table = ablation_table(make_sweep(list(lacking)), make_records(lacking))
    assert (table.choice.method, table.choice.missing, table.choice.planned) == ("pooled", 1, 9)
    assert [(row.baseline.test, row.baseline.n) for row in table.rows[1:]] == [("block", 3), ("block", 2)]


def test_rows_that_are_dominated_beyond_chance_leave_the_pareto_set():
    runs = {"K3": [20.0, 21.0, 22.5], "K5": [18.0, 19.5, 20.0], "K7": [30.0, 31.2, 32.0]}
    prices = {"K3": 300, "K5": 200, "K7": 100}
    records = {
        key: record.model_copy(update={"params": prices[record.cell]}) for key, record in make_records(runs).items()
    }
    table = ablation_table(make_sweep(list(runs)), records)
    on_set = {row.name: "params" in row.pareto for row in table.rows}
    assert on_set["K5"]
    assert on_set["K7"]
    assert ["macs" in row.pareto for row in table.rows] == [on_set["K3"], True, False]


def test_rows_are_told_apart_from_the_best_or_not(table):
    assert [row.standing for row in table.rows] == ["worse", "best", "worse"]
    assert table.best is table.rows[1]


def test_a_difference_that_may_be_chance_is_undecided():
    noisy = {"K3": [20.0, 21.0, 22.0], "K5": [19.0, 22.0, 21.5]}
    rows = ablation_table(make_sweep(list(noisy)), make_records(noisy)).rows
    assert [row.standing for row in rows] == ["not distinguishable", "best"]


def test_costs_are_means_of_complete_runs_and_networks_are_counted():
    records = make_records({"K3": [20.0, 21.0]}) | {key_of("K3", 2): failed_record("K3", 2, train_seconds=9e9)}
    row = ablation_table(make_sweep(["K3"]), records).rows[0]
    assert (row.params, row.macs) == (54_321, 9_876_543)
    assert (row.train_seconds, row.samples_per_second, row.peak_memory_mb) == (20.5, 899.5, 400.0)


@pytest.mark.parametrize(("metric", "expected"), [
    (Metric(), 20.0), (Metric(epoch="best"), 19.0), (Metric(name="val_loss"), 0.4),
])  # fmt: skip
def test_the_metric_and_its_epoch_are_the_sweeps(metric, expected):
    table = ablation_table(make_sweep(["K3"], [0], metric=metric), make_records({"K3": [20.0]}))
    assert table.rows[0].mean == expected


def test_runs_without_a_number_stand_with_their_reason():
    diverged = make_record("K5", 1, 5.0, status="diverged", failure="diverged", reason="the loss is nan")
    mute = make_record("K5", 2, 5.0, last={})
    records = {record.key: record for record in (failed_record("K5", 0), diverged, mute)}
    row = ablation_table(make_sweep(["K3", "K5"], range(4)), records).rows[1]
    assert (row.n, row.planned, row.mean, row.standing) == (0, 4, None, "")
    assert [(run.state, run.reason) for run in row.unfinished] == [
        ("failed", "oom: CUDA out of memory"),
        ("diverged", "the loss is nan"),
        ("failed", "the record has no val_error"),
        ("waiting", "no record yet"),
    ]


def test_one_run_is_too_few_to_tell():
    table = ablation_table(make_sweep(["K3", "K5"]), make_records({"K3": [20.0, 19.5, 21.0], "K5": [19.0, None, None]}))
    against = table.rows[1].baseline
    assert (against.n, against.difference, against.reason) == (1, pytest.approx(19.0 - 60.5 / 3), FEW)
    assert np.isnan([against.half, against.p, against.adjusted]).all()
    assert table.rows[1].verdict == "no test"
    assert [row.standing for row in table.rows] == ["cannot tell", "best"]


def test_without_a_baseline_there_is_nothing_to_compare_with():
    table = ablation_table(
        make_sweep(["K3", "K5"], baseline="gone"), make_records({"K3": [20.0, 21.0], "K5": [3.0, 4.0]})
    )
    assert [row.baseline for row in table.rows] == [None, None]


def test_invalid_cells_stand_last_and_untouched_ones_in_their_place():
    sweep = make_sweep(
        ["K3", "K5"], invalid=(InvalidCell(name="K9", factors={"kernel": "K9"}, reason="G does not divide C"),)
    )
    table = ablation_table(sweep, {})
    assert [(row.name, row.n, row.planned, row.invalid) for row in table.rows] == [
        ("K3", 0, 3, ""),
        ("K5", 0, 3, ""),
        ("K9", 0, 0, "G does not divide C"),
    ]
    assert table.best is None


def test_published_figures_stand_beside_their_cell():
    figure = PublishedRow(error=22.2, params=25.0, verified=True)
    sweep = make_sweep(published=Published(source="paper", data="ImageNet", rows={"K5": figure}))
    assert [row.published for row in ablation_table(sweep, {}).rows] == [None, figure]


def test_seeds_of_a_cell_that_the_sweep_no_longer_has_do_not_count():
    cell = Cell(name="K3", runs={7: "old", 1: "b", 0: "a"})
    row = ablation_table(make_sweep(["K3"], [0, 1], cells=(cell,)), {}).rows[0]
    assert [(run.seed, run.key) for run in row.runs] == [(0, "a"), (1, "b")]


states = st.sampled_from(["complete", "complete", "complete", "failed", "diverged", "waiting"])
runs = st.tuples(states, st.integers(0, 2000).map(lambda wrong: wrong / 20))
studies_of_runs = st.integers(1, 4).flatmap(
    lambda seeds: st.lists(st.lists(runs, min_size=seeds, max_size=seeds), min_size=1, max_size=5)
)


def built(study, spoiled=None):
    """The table of runs given as (state, error); the errors of those that are not complete can be `spoiled`."""
    names = [f"c{at}" for at in range(len(study))]
    cells = [(name, seed, *run) for name, of_cell in zip(names, study, strict=True) for seed, run in enumerate(of_cell)]
    records = [
        make_record(name, seed, error if state == "complete" or spoiled is None else spoiled, status=state)
        for name, seed, state, error in cells
        if state != "waiting"
    ]
    return ablation_table(make_sweep(names, range(len(study[0]))), {record.key: record for record in records})


@settings(max_examples=60, deadline=None)
@given(studies_of_runs)
def test_whatever_ended_how_the_table_adds_up(study):
    table = built(study)
    assert [row.name for row in table.rows] == [f"c{at}" for at in range(len(study))]
    for row, of_cell in zip(table.rows, study, strict=True):
        complete = [error for state, error in of_cell if state == "complete"]
        assert (row.n, row.planned) == (len(complete), len(of_cell))
        assert row.mean == (pytest.approx(math.fsum(complete) / len(complete)) if complete else None)
        assert (row.standing == "") == (row.n == 0)
        assert row.half is None or row.n >= 2
    means = [row.mean for row in table.rows if row.mean is not None]
    assert (table.best.mean if table.best else None) == min(means, default=None)
    assert sum(row.standing == "best" for row in table.rows) == bool(means)


@settings(max_examples=30, deadline=None)
@given(studies_of_runs)
def test_no_number_of_a_run_that_did_not_end_well_enters(study):
    assert data_frame(built(study)).equals(data_frame(built(study, spoiled=77.7)))
