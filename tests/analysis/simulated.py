"""Thousands of simulated studies at once, judged by the parts that `compare` is made of."""

import numpy as np

from sklab.analysis import blocks, checks, stats

NOISES = (
    "normal",
    "one cell x4",
    "half the cells x4",
    "half with the baseline x4",
    "baseline x4",
    "baseline /4",
    "t, 4 df",
    "t, 3 df",
    "a tenth missing",
)


def studies(noise, count, cells, seeds, rng):
    """Tables (count, cells, seeds) without any true difference; row 0 is the baseline. x4 is of the variance."""
    values = rng.standard_normal((count, cells, seeds))
    if noise.startswith("t, "):
        df = int(noise[3])
        values = rng.standard_t(df, values.shape) / np.sqrt(df / (df - 2))
    scale = np.ones(cells)
    if noise == "one cell x4":
        scale[1] = 2
    elif noise == "half the cells x4":
        scale[cells // 2 :] = 2
    elif noise == "half with the baseline x4":
        scale[: cells // 2 + 1] = 2
    elif noise == "baseline x4":
        scale[0] = 2
    elif noise == "baseline /4":
        scale[0] = 0.5
    values = values * scale[:, None] + 3 * rng.standard_normal((count, 1, seeds))
    if noise == "a tenth missing":
        values[rng.random(values.shape) < 0.1] = np.nan
    return values


def pooled_rejects(values, reckonings=blocks.RECKONINGS):
    """(studies, cells - 1): told apart from row 0 by the widest of these reckonings."""
    halves = blocks.half_widths(blocks.standard_errors(values, 0))
    half = np.max([halves[name] for name in reckonings], axis=0)
    return (np.abs(values.mean(-1) - values[:, :1].mean(-1)) > half)[:, 1:]


def paired_rejects(values):
    """(studies, cells - 1): told apart from row 0 by paired t (Welch where seeds are not shared) and Holm."""
    found, _ = stats.mean_difference(values, values[:, :1])
    return np.array([stats.holm(p) for p in found.p[:, 1:]]) < stats.ALPHA


def rejects(values):
    """What the whole procedure decides, checks included."""
    whole = ~np.isnan(values).any((1, 2))
    decided = np.zeros((len(values), values.shape[1] - 1), dtype=bool)
    complete = values[whole]
    fails = checks.equal_variances(complete).fails | checks.additivity(complete).fails
    if not whole.all():
        decided[~whole] = paired_rejects(values[~whole])
    if whole.any():
        decided[whole] = pooled_rejects(complete)
        decided[np.flatnonzero(whole)[fails]] = paired_rejects(complete[fails]) if fails.any() else False
    return decided
