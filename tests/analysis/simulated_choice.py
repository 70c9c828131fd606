"""Simulated studies in which a cell is chosen as the best, by the very functions that reports use.

Run as a program it prints the tables of benchmarks/statistics.md: `python tests/analysis/simulated_choice.py 1000`.
"""

import sys

import numpy as np

from sklab.analysis.choice.posterior import Draws, best_cell, posterior
from sklab.analysis.choice.race import race_for_best
from sklab.spec.study.sweep import Replicates

CELLS, SEEDS = 11, 3
RACE = Replicates(start=3, max=40, stop="best")
DRAWS = Draws(16, 30, 40)
SPREADS = (0, 0.25, 0.5, 1, 2, 4)  # of the true levels, in standard deviations of a run
SIX_EPOCHS = np.array([13.6, 23.38, 24.58, 11.6, 9.47, 11.35, 10.53, 17.22, 16.15, 11.62, 10.42]) / 0.91
FOUR_EPOCHS = np.array([19.17, 29.97, 31.8, 17.2, 16.27, 19.13, 18.4, 24.0, 22.93, 17.67, 15.6]) / 1.54


def truths(spread, count, rng):
    """True levels (count, cells): normal with this standard deviation, or those of a stated study."""
    if isinstance(spread, str):
        return np.broadcast_to({"6 epochs": SIX_EPOCHS, "4 epochs": FOUR_EPOCHS}[spread], (count, CELLS))
    return spread * rng.standard_normal((count, CELLS))


def chosen(spread, count, seed_sd=0.0):
    """Studies whose true levels have this spread: P(best) and whether the cell is the best, both (count, cells); the
    bias of the mean reported for the likeliest cell and of the lowest mean, in standard deviations of a run."""
    rng = np.random.default_rng(3)
    levels = truths(spread, count, rng)
    errors = rng.standard_normal((count, CELLS, SEEDS)) + seed_sd * rng.standard_normal((count, 1, SEEDS))
    values, shift = levels[..., None] + errors, errors.mean((1, 2))[:, None] if seed_sd else 0
    found, mean = posterior(values, DRAWS), values.mean(-1)
    is_best = levels == levels.min(-1, keepdims=True)
    reported, lowest = (
        _of(of - shift - levels, at) for of, at in ((found.mean, found.best.argmax(-1)), (mean, mean.argmin(-1)))
    )
    return found.best, is_best, reported, lowest


def _of(errors, cells):
    return float(np.take_along_axis(errors, cells[:, None], 1).mean())


def calibration(spreads, count, edges=(0, 0.05, 0.2, 0.4, 0.6, 0.8, 1.01)):
    """For each bin of P(best) over studies of these spreads: mean P(best), share of cells that are the best, cells."""
    studies = [chosen(spread, count)[:2] for spread in spreads]
    chances, right = (np.concatenate([study[at].ravel() for study in studies]) for at in (0, 1))
    bins = np.digitize(chances, edges)
    return [(chances[bins == at].mean(), right[bins == at].mean(), (bins == at).sum()) for at in range(1, len(edges))]


def raced(spread, count, runs, seed_sd=0.0):
    """Studies that add seeds to find the best cell, with at most so many runs: the share in which the likeliest cell is
    the best, and the mean number of runs; then the share in which the lowest mean of 10 seeds for all is the best."""
    rng = np.random.default_rng(1)
    levels = truths(spread, count, rng)
    errors = rng.standard_normal((count, CELLS, RACE.max)) + seed_sd * rng.standard_normal((count, 1, RACE.max))
    values, rule = levels[..., None] + errors, RACE.model_copy(update={"runs": runs})
    found = [race_for_best(study, np.ones(study.shape, dtype=bool), rule).requested for study in values]
    there = np.arange(RACE.max) < np.array(found)[..., None]
    likeliest = [best_cell(study).best.argmax() for study in np.where(there, values, np.nan)]
    best, of_ten = levels.argmin(-1), values[..., :10].mean(-1).argmin(-1)
    return (likeliest == best).mean(), np.sum(found) / count, (of_ten == best).mean()


def write(*cells_of_row):
    sys.stdout.write("| " + " | ".join(map(str, cells_of_row)) + " |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    number = int(sys.argv[1])
    for spread in (*SPREADS, "6 epochs", "4 epochs"):
        chances, right, bias, of_lowest = chosen(spread, number)
        first = np.take_along_axis(right, chances.argmax(-1)[:, None], 1).mean()
        write(spread, *(f"{of:.2f}" for of in (of_lowest, bias, chances.max(-1).mean(), first)))
    for mean, share, cells in calibration((0.5, 1, 2, 4), number):
        write(f"{mean:.2f}", f"{share:.2f}", cells)
    for spread in ("6 epochs", "4 epochs"):
        for runs in (45, 55, 60, 110):
            write(spread, runs, *(f"{of:.2f}" for of in raced(spread, number, runs)))
