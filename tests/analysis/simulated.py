"""Thousands of simulated studies at once, judged by the parts that `compare` is made of.

Run as a program it prints the table of benchmarks/statistics.md.
"""

import sys

import numpy as np

from sklab.analysis.statistics import blocks, checks, dunnett, intervals, unpaired
from sklab.analysis.statistics.checks import choose
from sklab.analysis.statistics.compare import compare

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
    "one run missing",
    "a tenth missing, baseline x4",
    "a tenth missing, one cell x4",
)
BEYOND = ("one cell x16", "baseline x16")
MEANS_NOISES = ("normal", "one cell x4", "baseline x4", "t, 4 df")
NOISY = {"one cell x4": 1, "baseline x4": 0}
ROWS = {
    "one cell": lambda cells: 1,
    "half the cells": lambda cells: slice(cells // 2, None),
    "half with the baseline": lambda cells: slice(cells // 2 + 1),
    "baseline": lambda cells: 0,
}
FACTORS = {"x4": 2, "/4": 0.5, "x16": 4}


def studies(noise, count, cells, seeds, rng, seed_sd=3):
    """Tables (count, cells, seeds) without any true difference; row 0 is the baseline. x4 is of the variance."""
    values = rng.standard_normal((count, cells, seeds))
    if noise.startswith("t, "):
        df = int(noise[3])
        values = rng.standard_t(df, values.shape) / np.sqrt(df / (df - 2))
    scale = np.ones(cells)
    rows, _, factor = noise.removeprefix("a tenth missing, ").rpartition(" ")
    scale[ROWS.get(rows, lambda cells: slice(0))(cells)] = FACTORS.get(factor, 1)
    values = values * scale[:, None] + seed_sd * rng.standard_normal((count, 1, seeds))
    if noise.startswith("a tenth missing"):
        values[rng.random(values.shape) < 0.1] = np.nan
    if noise == "one run missing":
        values.reshape(count, -1)[np.arange(count), rng.integers(cells * seeds, size=count)] = np.nan
    return values


def with_effects(noise, count, cells, seeds, rng):
    """Studies in which a third of the cells differ from the rest; the second answer is how many, from row 1 on."""
    values, differing = studies(noise, count, cells, seeds, rng), cells // 3
    values[:, 1 : 1 + differing] += {3: 3.5, 5: 2.2, 10: 1.4}[seeds]
    return values, differing


def pooled_rejects(values):
    """(studies, cells - 1): told apart from row 0 by the block design, whatever the checks say."""
    errors = blocks.standard_errors(values, 0)
    return (np.abs(errors.difference) > blocks.half_widths(errors))[:, 1:]


def equal_rejects(values):
    """The same by the textbook: one variance for all cells, Dunnett's t with correlation 1/2. Without gaps."""
    cells, seeds = values.shape[1:]
    error = np.sqrt(2 * blocks.fit(values).variance / seeds)[:, None]
    apart = np.abs(values.mean(2)[:, 1:] - values.mean(2)[:, :1])
    return apart > dunnett.critical(cells - 1, float((cells - 1) * (seeds - 1))) * error


def paired_rejects(values):
    """(studies, cells - 1): told apart from row 0 by paired t (Welch where seeds are not shared) and Holm."""
    found, _ = intervals.mean_difference(values, values[:, :1])
    return np.array([intervals.holm(p) for p in found.p[:, 1:]]) < intervals.ALPHA


def apart_rejects(values, apart, further=None):
    """The same with the rows of `apart` by a paired t of their own: each comparison has one share of alpha. `further`
    are runs of the baseline that count unpaired."""
    together = np.setdiff1d(np.arange(values.shape[1]), apart)
    if further is None:
        errors = blocks.standard_errors(values[:, together], 0, apart=len(apart) > 0)
    else:
        errors = unpaired.standard_errors(values[:, together], 0, further, apart=len(apart) > 0)
    singly, _ = intervals.mean_difference(values[:, apart], values[:, :1])
    tests = errors.comparisons + (~np.isnan(singly.p)).sum(-1)
    decided = np.zeros(values.shape[:2], dtype=bool)
    decided[:, apart] = singly.p * tests[:, None] < intervals.ALPHA
    shares = errors.comparisons / np.maximum(tests, 1)
    for share in np.unique(shares):
        at = np.flatnonzero(shares == share)
        part = blocks.Errors(
            *(of[at] for of in (errors.n, errors.difference, errors.error, errors.df, errors.correlation))
        )
        halves = blocks.half_widths(part, 1 - intervals.ALPHA * share)
        decided[np.ix_(at, together)] = np.abs(part.difference) > halves
    return decided[:, 1:]


def rejects(values):
    """What the whole procedure decides, checks included."""
    decided = np.zeros((len(values), values.shape[1] - 1), dtype=bool)
    for noisy, studies_of in alike(values).items():
        of_method = values[studies_of]
        decided[studies_of] = (
            paired_rejects(of_method) if noisy is None else apart_rejects(of_method, [row for row in noisy if row])
        )
    return decided


def switched(values):
    """What the procedure decides where a failed check of equal variances sends every row to pairs."""
    groups = alike(values)
    pooled = np.zeros(len(values), dtype=bool)
    pooled[groups.get((), [])] = True
    decided = np.zeros((len(values), values.shape[1] - 1), dtype=bool)
    decided[pooled], decided[~pooled] = pooled_rejects(values[pooled]), paired_rejects(values[~pooled])
    return decided


def alike(values):
    """The studies (their places) that `choose` compares alike, by their noisy rows; None: those that are paired."""
    whole = ~np.isnan(values).any((1, 2))
    passed = np.zeros(len(values), dtype=bool)
    passed[whole] = ~(checks.equal_variances(values[whole]).fails | checks.additivity(values[whole]).fails)
    found = {(): np.flatnonzero(passed).tolist()}
    for study in np.flatnonzero(~passed).tolist():
        choice = choose(values[study])
        found.setdefault(choice.noisy if choice.method == "pooled" else None, []).append(study)
    return {noisy: studies_of for noisy, studies_of in found.items() if studies_of}


def mean_halves(values):
    """Half widths (studies, cells) of the intervals of single means, by the table's method, checks included."""
    halves = intervals.mean_interval(values).half
    for noisy, studies_of in alike(values).items():
        if noisy is not None:
            together = np.ix_(studies_of, np.setdiff1d(np.arange(values.shape[1]), noisy))
            halves[together] = blocks.mean_halves(values[together])
    return halves


def means_covered(noise, cells, seeds, seed_sd):
    """(cells): per cent of studies in which the interval of the cell's mean holds the true one.

    40,000 studies where the mean over the cells has to be known to 0.1, else 10,000: a shared seed moves all cells.
    """
    count = 40_000 if noise == "normal" else 10_000
    rng = np.random.default_rng([cells, seeds, seed_sd])
    values = studies(noise, count, cells, seeds, rng, seed_sd)
    return 100 * (np.abs(values.mean(-1)) <= mean_halves(values)).mean(0)


def switching(values):
    """Pooled under equal variances alone, but pairs where a check has p below 0.05."""
    doubted = (checks.equal_variances(values).p < 0.05) | (checks.additivity(values).p < 0.05)
    return np.where(doubted[:, None], paired_rejects(values), equal_rejects(values))


METHODS = {
    "whole": rejects,
    "without checks": pooled_rejects,
    "equal only": equal_rejects,
    "equal only, switching": switching,
    "paired t + Holm": paired_rejects,
}
POWER = ("normal", "baseline x4", "one run missing", "a tenth missing")
OF_MISSING = ("whole", "without checks", "paired t + Holm")


def best_wronged(noise, cells, seeds, count=10_000):
    """Per cent of studies of equal cells in which the most often wronged is told apart from the lowest mean."""
    rng = np.random.default_rng([cells, seeds, (*NOISES, *BEYOND).index(noise)])
    values = studies(noise, count, cells, seeds, rng)
    means = np.where(
        np.isnan(values).all(-1), np.inf, np.nansum(values, -1) / np.maximum((~np.isnan(values)).sum(-1), 1)
    )
    others = np.arange(cells) + (np.arange(cells) >= means.argmin(-1)[:, None])
    order = np.concatenate([means.argmin(-1)[:, None], others[:, :-1]], axis=1)
    called = np.zeros((count, cells), dtype=bool)
    np.put_along_axis(called, order[:, 1:], rejects(np.take_along_axis(values, order[:, :, None], 1)), 1)
    return 100 * called.mean(0).max(), 100 * called.any(1).mean()


def wrong(noise, cells, seeds, decide, count=10_000):
    """Per cent of studies without a true difference in which at least one is claimed."""
    rng = np.random.default_rng([cells, seeds, (*NOISES, *BEYOND).index(noise)])
    return 100 * decide(studies(noise, count, cells, seeds, rng)).any(1).mean()


def power(noise, cells, seeds, decide, count=10_000):
    """Per cent of true differences that are told apart."""
    values, differing = with_effects(noise, count, cells, seeds, np.random.default_rng([cells, seeds]))
    return 100 * decide(values)[:, :differing].mean()


def power_of_others(noise, cells, seeds, decide=rejects, count=10_000):
    """Per cent of true differences that are told apart, but for that of the first cell, which is the noisy one."""
    values, differing = with_effects(noise, count, cells, seeds, np.random.default_rng([cells, seeds]))
    return 100 * decide(values)[:, 1:differing].mean()


def noticed(noise, cells, seeds, count=10_000):
    """Per cent of studies in which the check of equal variances has p below 0.05."""
    values = studies(noise, count, cells, seeds, np.random.default_rng([cells, seeds]))
    return 100 * np.mean(checks.equal_variances(values).p < 0.05)


def found_at_the_detectable(cells, seeds, count=10_000):
    """Per cent of differences found that are as large as `compare` calls detectable, in the mean over 150 tables."""
    rng = np.random.default_rng([cells, seeds])
    tables = [compare(table, 0).rows[1:] for table in studies("normal", 150, cells, seeds, rng)]
    values = studies("normal", count, cells, seeds, rng)
    values[:, 1:3] += np.mean([row.detectable for rows in tables for row in rows if row.test == "block"])
    return 100 * rejects(values)[:, :2].mean()


def write(*cells_of_row):
    sys.stdout.write("| " + " | ".join(map(str, cells_of_row)) + " |\n")


def write_tables(cells):
    rows = [(noise, seeds, wrong) for noise in (*NOISES, *BEYOND) for seeds in (3, 5, 10)]
    rows += [(noise, seeds, power) for noise in POWER for seeds in (3, 5, 10)]
    write("", "noise", "seeds", *METHODS)
    for noise, seeds, measure in rows:
        methods = OF_MISSING if "missing" in noise else METHODS
        figures = (
            f"{measure(noise, cells, seeds, decide):.1f}" if name in methods else "–"
            for name, decide in METHODS.items()
        )
        write(measure.__name__, noise, seeds, *figures)
    for noise in NOISES:
        for seeds in (3, 5, 10):
            write(
                "the best called worse, any row",
                noise,
                seeds,
                *(f"{of:.1f}" for of in best_wronged(noise, cells, seeds)),
            )
    for seeds in (3, 5, 10):
        for noise in ("normal", "one cell x4", "baseline x4"):
            write("noticed", noise, seeds, f"{noticed(noise, cells, seeds):.1f}")
        write("found at the detectable", "normal", seeds, f"{found_at_the_detectable(cells, seeds):.1f}")
    for noise in ("one cell x4", "one cell x16") if cells > 5 else ():
        for seeds in (3, 5):
            figures = (power_of_others(noise, cells, seeds, decide) for decide in (rejects, switched))
            write("power of the others", noise, seeds, *(f"{of:.1f}" for of in figures))
    for noise in MEANS_NOISES:
        for seeds in (3, 5, 10):
            covered = [means_covered(noise, cells, seeds, seed_sd) for seed_sd in (0, 3)]
            write("means covered", noise, seeds, *(_of_cells(of, NOISY.get(noise)) for of in covered))


def _of_cells(covered, noisy):
    """The mean and the least over the cells, and that of the noisy one."""
    others = covered if noisy is None else np.delete(covered, noisy)
    own = "" if noisy is None else f", noisy {covered[noisy]:.1f}"
    return f"mean {covered.mean():.1f}, least of the others {others.min():.1f}{own}"


if __name__ == "__main__":
    write_tables(int(sys.argv[1]))
