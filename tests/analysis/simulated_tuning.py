"""Thousands of simulated studies in which every cell tunes a setting, judged by the parts that the table is made of.

Run as a program it prints the table of benchmarks/statistics.md.
"""

import sys
from itertools import product

import numpy as np
from simulated import rejects, studies, write

from sklab.analysis.choice.settings import best_settings

CELLS, SETTINGS, COMMON = 11, 3, 1
TUNING_SEEDS = (1, 2, 4)
# How much worse a setting is than the best one of its cell, in standard deviations of a run.
CURVES = ("flat", 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0)
LUCKY = 3.5  # by how much the planted cell is better at the common setting, and there alone


def tuned(levels, tuning_seeds, rng):
    """The setting (studies, cells) that each cell chooses, with these true `levels` (studies, cells, settings)."""
    errors = rng.standard_normal((*levels.shape, tuning_seeds)) + rng.standard_normal((len(levels), 1, 1, tuning_seeds))
    return best_settings(levels[..., None] + errors, COMMON)[0]


def at_settings(levels, places):
    """The level (studies, cells) of each cell at its setting in `places`."""
    return np.take_along_axis(levels, places[..., None], 2)[..., 0]


def equal_at_best(curve, count, rng):
    """Levels of cells that are equally good at the best setting of each, which is another one in each cell."""
    if curve == "flat":
        return np.zeros((count, CELLS, SETTINGS))
    best = rng.integers(SETTINGS, size=(count, CELLS))
    return curve * (np.arange(SETTINGS) != best[..., None]).astype(float)


def false_claims(curve, tuning_seeds, seeds, count, noise="normal"):
    """Per cent of studies with a false claim: about cells that are equal at the settings that were chosen, and about
    cells that are equal at the best settings (as all are)."""
    rng = np.random.default_rng(list(f"{curve} {tuning_seeds} {seeds} {noise}".encode()))
    levels = equal_at_best(curve, count, rng)
    true = at_settings(levels, tuned(levels, tuning_seeds, rng))
    claims = rejects(true[..., None] + studies(noise, count, CELLS, seeds, rng))
    return 100 * (claims & (true[:, 1:] == true[:, :1])).any(1).mean(), 100 * claims.any(1).mean()


def unmasked(tuning_seeds, seeds, count):
    """Per cent of studies that call a cell better which is better at the common setting alone: without and with
    tuning. At its best, each of the other cells is as good."""
    rng = np.random.default_rng([tuning_seeds, seeds])
    levels = np.full((count, CELLS, SETTINGS), LUCKY)
    levels[:, :, 0] = 0.0  # the best setting of all cells but the lucky one, which has the common one
    levels[:, 1] = [LUCKY, 0.0, LUCKY]
    chosen = at_settings(levels, tuned(levels, tuning_seeds, rng))
    errors = studies("normal", count, CELLS, seeds, rng)
    return [_called_better(of[..., None] + errors) for of in (levels[:, :, COMMON], chosen)]


def _called_better(values):
    lower = values[:, 1].mean(-1) < values[:, 0].mean(-1)
    return 100 * (rejects(values)[:, 0] & lower).mean()


if __name__ == "__main__":
    number = int(sys.argv[1])
    write("worse by", "tuning seeds", "seeds", "equal at the chosen settings", "equal at the best settings")
    for curve, tuning_seeds, seeds in product(CURVES, TUNING_SEEDS, (3, 5)):
        figures = false_claims(curve, tuning_seeds, seeds, number)
        write(curve, tuning_seeds, seeds, *(f"{of:.1f}" for of in figures))
    write("tuning seeds", "seeds", "better without tuning", "better with tuning")
    for tuning_seeds, seeds in product(TUNING_SEEDS, (3, 5)):
        write(tuning_seeds, seeds, *(f"{of:.1f}" for of in unmasked(tuning_seeds, seeds, number)))
