"""Thousands of simulated studies at once, judged by the parts that `compare` is made of.

Run as a program it prints the table of docs/statistics.md.
"""

import sys

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


def with_effects(noise, count, cells, seeds, rng):
    """Studies in which a third of the cells differ from the rest; the second answer is how many, from row 1 on."""
    values, differing = studies(noise, count, cells, seeds, rng), cells // 3
    values[:, 1 : 1 + differing] += {3: 3.5, 5: 2.2, 10: 1.4}[seeds]
    return values, differing


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


METHODS = {
    "whole": rejects,
    "equal only": lambda values: pooled_rejects(values, ("equal",)),
    "equal, baseline": lambda values: pooled_rejects(values, ("equal", "baseline")),
    "all three": pooled_rejects,
    "paired t + Holm": paired_rejects,
}


def wrong(noise, cells, seeds, decide, count=10_000):
    """Per cent of studies without a true difference in which at least one is claimed."""
    rng = np.random.default_rng([cells, seeds, NOISES.index(noise)])
    return 100 * decide(studies(noise, count, cells, seeds, rng)).any(1).mean()


def power(noise, cells, seeds, decide, count=10_000):
    """Per cent of true differences that are told apart."""
    values, differing = with_effects(noise, count, cells, seeds, np.random.default_rng([cells, seeds]))
    return 100 * decide(values)[:, :differing].mean()


def print_tables(cells):
    rows = [(noise, seeds, wrong) for noise in NOISES for seeds in (3, 5, 10)]
    rows += [(noise, seeds, power) for noise in ("normal", "baseline x4") for seeds in (3, 5, 10)]
    for noise, seeds, measure in rows:
        methods = ("whole", "paired t + Holm") if "missing" in noise else METHODS
        found = " | ".join(f"{measure(noise, cells, seeds, METHODS[name]):.1f}" for name in methods)
        sys.stdout.write(f"| {measure.__name__} | {noise} | {seeds} | {found} |\n")


if __name__ == "__main__":
    sys.stdout.write("| | noise | seeds | " + " | ".join(METHODS) + " |\n")
    print_tables(int(sys.argv[1]))
