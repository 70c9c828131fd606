"""Simulated studies in which the baseline has more seeds than the other cells.

Run as a program it prints the tables of benchmarks/statistics.md.
"""

import sys
from itertools import product
from unittest.mock import patch

import numpy as np
import simulated

from sklab.analysis.statistics import blocks, unpaired

CORRELATIONS = (0, 0.2, 0.5, 0.9)  # of two runs with the same seed, where all cells have the same variance
BASELINES = (0.25, 1, 4)  # the baseline's variance
RUNS = (6, 9)  # of the baseline; the others have 3


def studies(count, cells, seeds, runs, correlation, baseline, rng):
    """Tables (count, cells, seeds) without any true difference, and the further runs of their baseline, row 0."""
    values = rng.standard_normal((count, cells, runs))
    values[:, 0] *= np.sqrt(baseline)
    values += np.sqrt(correlation / (1 - correlation)) * rng.standard_normal((count, 1, runs))
    return values[:, :, :seeds], values[:, 0, seeds:]


def drawn(setting, count):
    return studies(count, *setting, np.random.default_rng([int(100 * of) for of in setting]))


def rejects(values, further):
    """(studies, cells - 1): what the whole procedure decides, checks included."""
    decided = np.zeros((len(values), values.shape[1] - 1), dtype=bool)
    for noisy, at in simulated.alike(values).items():
        of_method, alone = values[at], further[at]
        if noisy is None:
            decided[at] = simulated.paired_rejects(of_method)
            continue
        apart = [row for row in noisy if row]
        counts = counted(np.delete(of_method, apart, 1))
        decided[at] = simulated.apart_rejects(of_method, apart)
        decided[np.array(at)[counts]] = simulated.apart_rejects(of_method[counts], apart, alone[counts])
    return decided


def counted(values):
    """(studies): whether further runs of the baseline count."""
    enough = not np.isnan(unpaired.judge(values[0], 0, 1).p)
    return (unpaired.seeds_p(values) >= unpaired.DIFFER) & enough


def wrong(setting, count=10_000):
    """Per cent of studies without a true difference in which at least one is claimed."""
    return 100 * rejects(*drawn(setting, count)).any(1).mean()


def wrong_without_least_numbers(cells, seeds, runs):
    """The most that `wrong` is over correlations and variances, if further runs counted in tables of any size."""
    with patch.multiple(unpaired, FEWEST_SEEDS=2, FEWEST_DF=1):
        return max(wrong((cells, seeds, runs, *of)) for of in product(CORRELATIONS, BASELINES))


def power(setting, decide=rejects, count=10_000, size=2):
    """Per cent of true differences of `size` standard deviations of a run that are told apart; all cells but the
    baseline differ."""
    values, further = drawn(setting, count)
    values[:, 1:] += size
    return 100 * decide(values, further).mean()


def as_without(values, further):
    """What the procedure decides without the further runs."""
    return simulated.rejects(values)


def half_width(setting, count=2_000):
    """Mean half width with further runs, over the studies in which they count, and without them."""
    values, further = drawn(setting, count)
    counts = counted(values)
    errors = unpaired.standard_errors(values[counts], 0, further[counts])
    without = blocks.half_widths(blocks.standard_errors(values, 0))
    return np.nanmean(blocks.half_widths(errors)), np.nanmean(without)


def write_tables():
    write = simulated.write
    write(
        "cells",
        "seeds",
        "baseline's",
        "correlation",
        *(f"false, baseline x{of}" for of in BASELINES),
        "power",
        "without",
    )
    for cells, seeds, runs in ((11, 3, 6), (11, 3, 9), (5, 3, 6), (6, 3, 9), (4, 4, 8), (11, 5, 15)):
        for correlation in CORRELATIONS:
            settings = [(cells, seeds, runs, correlation, of) for of in BASELINES]
            found = [f"{wrong(setting, 20_000):.1f}" for setting in settings]
            found += [f"{power(settings[1], decide):.1f}" for decide in (rejects, as_without)]
            write(cells, seeds, runs, correlation, *found)
        halves = half_width((cells, seeds, runs, 0, 1))
        write("half widths", *(f"{half:.2f}" for half in halves))
    for cells, seeds, runs in ((2, 3, 9), (3, 3, 9), (4, 3, 9), (11, 2, 6)):
        write("without least numbers", cells, seeds, runs, f"{wrong_without_least_numbers(cells, seeds, runs):.1f}")


if __name__ == "__main__":
    write_tables()
    sys.stdout.flush()
