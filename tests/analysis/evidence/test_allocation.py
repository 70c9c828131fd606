"""Which next runs help most."""

import numpy as np
import pytest
import simulated_further
from studies import key_of, make_sweep

from sklab.analysis.evidence.allocation import next_runs
from sklab.report.words.phrases import next_runs_text
from sklab.spec.study.sweep import Replicates

CELLS = tuple(f"K{at}" for at in range(11))


def study(seeds=3, further=0, cells=CELLS, **changes):
    """A sweep with `further` seeds of its baseline, and a table without any run."""
    every = tuple(range(seeds + further))
    sweep = make_sweep(cells, range(seeds), **changes)
    whole = sweep.cells[0].model_copy(update={"runs": {seed: key_of(cells[0], seed) for seed in every}})
    planned = {"seeds": every, "baseline_seeds": every[seeds:], "cells": (whole, *sweep.cells[1:])}
    return sweep.model_copy(update=planned), np.full((len(cells), len(every)), np.nan)


def measured(draw, further=6, seed_sd=0.0):
    sweep, values = study(further=further)
    rng = np.random.default_rng(draw)
    drawn = rng.normal(20, 1, values.shape) + rng.normal(0, seed_sd, values.shape[1])
    drawn[1:, 3:] = np.nan
    return sweep, drawn


def test_before_any_run_two_seeds_of_the_baseline_are_worth_one_of_every_cell():
    options = next_runs(*study())
    assert (options.baseline_runs, options.every_runs, options.baseline_helps_more) == (2, 11, True)
    assert options.now > options.every_half >= options.baseline_half
    assert next_runs_text(options) == (
        "Next runs: 2 more seeds of the baseline (2 runs) would narrow the interval of a difference from ±3.23 to "
        "±2.33 times the spread of a run; one more seed of every cell (11 runs) to ±2.41."
    )


def test_a_baseline_of_many_seeds_helps_less_than_a_seed_of_the_others():
    options = next_runs(*study(further=6))
    assert (options.baseline_runs, options.every_runs, options.baseline_helps_more) == (10, 10, False)
    assert "one more seed of every other cell (10 runs) would narrow" in next_runs_text(options)


def test_a_stated_spread_gives_the_unit():
    in_sd, stated = next_runs(*study()), next_runs(*study(), spread=2.5)
    assert stated.now == pytest.approx(2.5 * in_sd.now)
    assert "±8.07 to ±5.83; one" in next_runs_text(stated)


@pytest.mark.parametrize(("further", "runs"), [(3, 6), (6, 9)])
def test_the_half_width_is_what_studies_have(further, runs):
    planned = next_runs(*study(further=further))
    found, _ = simulated_further.half_width((11, 3, runs, 0, 1))
    assert planned.now == pytest.approx(found, rel=0.03)


def test_the_half_width_with_runs_is_about_that_of_the_table():
    found = [next_runs(*measured(draw)) for draw in range(40)]
    counted = [options.now for options in found if options.differ is None]
    assert np.mean(counted) == pytest.approx(2.1, abs=0.15)
    assert all(options.known for options in found)


def test_where_seeds_differ_only_seeds_of_all_cells_help():
    options = next_runs(*measured(0, seed_sd=9.0))
    assert options.differ < 0.05
    assert options.every_half < options.now
    assert "more seeds of the baseline alone do not count, as seeds differ (p < 0.001)" in next_runs_text(options)


def test_nothing_is_advised_where_further_runs_could_not_count():
    assert next_runs(*study(seeds=2)) is None
    assert next_runs(*study(cells=CELLS[:4])) is None
    assert next_runs(*study(replicates=Replicates(start=3, max=5))) is None
    noisy = measured(0)[1] * np.array([1, 1, 30, 1, 40, 1, 50, 1, 1, 60, 1])[:, None]
    assert next_runs(study(further=6)[0], noisy) is None
