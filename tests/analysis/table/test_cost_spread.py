"""Latency with its spread, in rows and in Pareto sets, and what the records tell of other runs beside it."""

import pytest
from studies import MACHINE, failed_record, key_of, make_record, make_sweep

from sklab.analysis.frames.table import data_frame
from sklab.analysis.table.ablation import ablation_table
from sklab.analysis.table.costs import Neighbours, neighbours
from sklab.store.records import Code, Reused

ERRORS = {"K3": [20.0, 21.0, 22.0], "K5": [30.0, 31.1, 32.0]}  # K5 is told apart as higher


def table_of(latencies, **changes):
    """A table of K3 and of K5 with these latencies by cell, one for each seed."""
    records = [
        make_record(cell, seed, ERRORS[cell][seed], latency_ms=latency, **changes)
        for cell, of_cell in latencies.items()
        for seed, latency in enumerate(of_cell)
    ]
    return ablation_table(make_sweep(list(ERRORS)), {record.key: record for record in records})


def on_set(table):
    return ["latency_ms" in row.pareto for row in table.rows]


def test_rows_and_their_data_carry_the_range_of_latency():
    table = table_of({"K3": [1.4, 1.2, 1.3], "K5": [1.5, 0.0, 1.6]})
    assert [row.latency_range for row in table.rows] == [(1.2, 1.4), None], "not all runs of K5 have measured it"
    frame = data_frame(table)
    assert frame["latency_ms_lowest"].tolist()[0] == 1.2
    assert frame["latency_ms_highest"].tolist()[0] == 1.4
    assert frame["latency_ms_highest"].isna().tolist() == [False, True]


def test_a_hundredth_of_a_millisecond_within_the_spread_decides_nothing():
    assert on_set(table_of({"K3": [1.37, 1.39, 1.41], "K5": [1.39, 1.41, 1.43]})) == [True, True]
    assert on_set(table_of({"K3": [1.37, 1.38, 1.39], "K5": [1.41, 1.42, 1.43]})) == [True, False]


@pytest.mark.parametrize("latencies", [{"K3": [0.6, 1.0, 1.3], "K5": [2.0, 2.1, 2.2]}])
def test_a_row_whose_runs_differ_severalfold_takes_no_part_and_rules_nobody_out(latencies):
    table = table_of(latencies)
    assert [row.latency_unsteady for row in table.rows] == [True, False]
    assert on_set(table) == [False, True]
    assert on_set(table_of({"K3": [0.7, 1.0, 1.3], "K5": [2.0, 2.1, 2.2]})) == [True, False], "twice is the limit"


def at(minutes, seconds=0):
    return f"2026-01-01T00:{minutes:02d}:{seconds:02d}+00:00"


def neighbours_of(*spans, **changes):
    """Of runs of K3 that took from and to these times."""
    made = [
        make_record("K3", seed, 20.0 + seed, latency_ms=1.0, started=begin, ended=end, **changes)
        for seed, (begin, end) in enumerate(spans)
    ]
    return neighbours(ablation_table(make_sweep(["K3"], range(len(made))), {record.key: record for record in made}))


def test_runs_one_after_another_measure_latency_alone():
    assert neighbours_of((at(0), at(1)), (at(1), at(2)), (at(3), at(3, 1))) == Neighbours(3, 0, 0)


def test_a_run_is_beside_another_that_runs_as_it_ends():
    assert neighbours_of((at(0), at(2)), (at(1), at(3)), (at(4), at(5))) == Neighbours(3, 1, 0)
    assert neighbours_of((at(0), at(2)), (at(0), at(2))) == Neighbours(2, 2, 0)
    other = MACHINE.model_copy(update={"host": "other"})
    there = [make_record("K3", 0, 20.0, latency_ms=1.0), make_record("K3", 1, 21.0, latency_ms=1.0, hardware=other)]
    table = ablation_table(make_sweep(["K3"]), {record.key: record for record in there})
    assert neighbours(table) == Neighbours(2, 0, 0), "on another machine"


def test_runs_that_failed_are_neighbours_too():
    made = [make_record("K3", 0, 20.0, latency_ms=1.0), failed_record("K3", 1)]
    table = ablation_table(make_sweep(["K3"]), {record.key: record for record in made})
    assert neighbours(table) == Neighbours(1, 1, 0)


@pytest.mark.parametrize("changes", [{"hardware": None}, {"started": ""}, {"ended": "yesterday"}])
def test_records_that_do_not_tell_are_counted(changes):
    assert neighbours(table_of({"K3": [1.0, 1.0, 1.0]}, **changes)) == Neighbours(3, 0, 3)


def test_of_a_run_taken_from_another_study_the_neighbours_there_are_unknown():
    table = table_of({"K3": [1.0]})
    origin = Reused(study="old", key=key_of("K3", 0), code=Code(version="0.1.0"))
    table.reused[key_of("K3", 0)] = origin
    assert neighbours(table) == Neighbours(1, 0, 1)
