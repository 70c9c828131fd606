"""What a table and a report say of runs of the baseline with seeds of its own."""

import numpy as np
import pytest
from studies import key_of, make_records, make_sweep, write_study

from sklab.analysis.evidence.held_out import on_test
from sklab.analysis.table.ablation import ablation_table
from sklab.cli import main
from sklab.report.words import methods, sentences
from sklab.spec.study.sweep import Cell

CELLS = ("K3", "K5", "K7", "K9", "SK")


def study(seed_sd=0.0, seeds=(0, 1, 2), draw=0, names=CELLS):
    """A sweep with six more seeds of its baseline, and its records."""
    rng = np.random.default_rng(draw)
    every = (*seeds, *range(len(seeds), len(seeds) + 6))
    errors = rng.normal(20, 1, (len(names), len(every))) + rng.normal(0, seed_sd, len(every))
    sweep = make_sweep(names, seeds)
    first, *others = sweep.cells
    whole = first.model_copy(update={"runs": {seed: key_of(first.name, seed) for seed in every}})
    planned = {"cells": (whole, *others), "seeds": every, "baseline_seeds": every[len(seeds) :]}
    counts = [len(every), *[len(seeds)] * (len(names) - 1)]
    of_cell = {name: row[:count].tolist() for name, row, count in zip(names, errors, counts, strict=True)}
    return sweep.model_copy(update=planned), make_records(of_cell), errors


def table_of(**settings):
    sweep, records, _ = study(**settings)
    return ablation_table(sweep, records)


def test_the_table_says_which_rule_was_taken_and_why():
    line = methods.comparison(table_of())
    assert "6 more runs of the baseline count unpaired, as seeds make no detectable difference (p = 0." in line
    left = methods.comparison(table_of(seed_sd=9.0))
    assert "with seeds as blocks; 6 more runs of the baseline are left out: seeds differ (p < 0.001)." in left
    few = methods.comparison(table_of(names=CELLS[:3]))
    assert "left out: the other cells have only 4 runs beyond their first, of 8 needed." in few


def test_the_methods_name_the_layout():
    text = methods.methods(table_of())
    assert "The baseline has 6 more runs with seeds that no other cell has." in text
    assert "one-way layout" in text
    assert "that of K3 from its own runs" in text
    assert "which do not count here: seeds differ (p" in methods.methods(table_of(seed_sd=9.0))


def test_the_design_names_the_baselines_seeds():
    sweep, _, _ = study()
    assert sentences.design(sweep).endswith("× 3 seeds (0, 1, 2), 6 more of the baseline (3, 4, 5, 6, 7, 8)")


def test_rows_are_compared_with_all_runs_and_the_best_with_shared_ones():
    sweep, records, errors = study()
    rows = ablation_table(sweep, records).rows
    assert [row.n for row in rows] == [9, 3, 3, 3, 3]
    assert rows[1].baseline.difference == pytest.approx(errors[1, :3].mean() - errors[0].mean())
    best = next(at for at, row in enumerate(rows) if row.standing == "best")
    against = errors[best].mean() if best == 0 else errors[best, :3].mean()
    assert rows[1 if best != 1 else 2].best.difference == pytest.approx(
        errors[1 if best != 1 else 2, :3].mean() - against
    )


def test_a_study_that_did_not_ask_is_reported_as_before():
    """Runs that only the baseline has, where the sweep does not plan them for it alone, are no part of it."""
    sweep, records, _ = study()
    table = ablation_table(sweep.model_copy(update={"baseline_seeds": ()}), records)
    assert table.choice.further is None
    assert {row.baseline.test for row in table.rows[1:]} == {"block"}


@pytest.mark.parametrize("command", ["table", "report", "status"])
def test_commands_show_such_a_study(tmp_path, capsys, command):
    sweep, records, _ = study()
    write_study(tmp_path / "made", sweep, records)
    assert main([command, "made", "--results", str(tmp_path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert command == "status" or "6 more runs of the baseline count unpaired" in shown


def test_sweeps_of_earlier_versions_plan_no_further_seeds():
    stored = make_sweep().model_dump(mode="json", exclude={"baseline_seeds"})
    assert type(make_sweep()).model_validate(stored) == make_sweep()
    assert isinstance(make_sweep().cells[0], Cell)


def test_the_test_split_is_judged_by_the_same_rule():
    sweep, _, errors = study()
    values = np.where(np.arange(9) < 3, errors, np.nan)
    values[0] = errors[0]
    rows = on_test(sweep, values, values + 1, 0)
    assert {(row.baseline.test, row.baseline.n) for row in rows[1:]} == {("one-way", 3)}
    assert [row.n for row in rows] == [9, 3, 3, 3, 3]
