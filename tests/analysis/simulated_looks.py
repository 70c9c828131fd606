"""Thousands of simulated studies that get more seeds after a look: false claims and power over all looks.

Run as a program it prints the tables of benchmarks/statistics.md: `simulated_looks.py [studies]`.
"""

import sys

import numpy as np
import simulated_questions
from simulated import NOISES, alike, studies, write
from simulated_questions import adjusted_p as question_p
from simulated_questions import drawn, family_of

from sklab.analysis.statistics import blocks, dunnett, intervals
from sklab.analysis.statistics.boundaries import levels_of_looks


def adjusted_p(values):
    """(studies, cells - 1): adjusted p of each cell against row 0 by the whole procedure, checks included; 1 where
    there is no test. Pooled cells with a single p of 5 % or more have that in its place: neither is a claim."""
    p = np.ones((len(values), values.shape[1]))
    for noisy, at in alike(values).items():
        p[at] = _paired(values[at]) if noisy is None else _pooled(values[at], [row for row in noisy if row])
    return np.nan_to_num(p[:, 1:], nan=1.0)


def _paired(values):
    found, _ = intervals.mean_difference(values, values[:, :1])
    found.p[:, 0] = np.nan
    return np.array([intervals.holm(p) for p in found.p])


def _pooled(values, apart):
    together = np.setdiff1d(np.arange(values.shape[1]), apart)
    errors = blocks.standard_errors(values[:, together], 0, apart=len(apart) > 0)
    singly = intervals.mean_difference(values[:, apart], values[:, :1])[0].p
    tests = np.maximum(errors.comparisons + (~np.isnan(singly)).sum(-1), 1)[:, None]
    p = np.ones(values.shape[:2])
    p[:, apart] = singly * tests
    p[:, together] = _exceedances(errors) * tests / np.maximum(errors.comparisons, 1)[:, None]
    return np.minimum(p, 1)


def _exceedances(errors):
    """`blocks.p_values` of many tables where the single p is below 5 %, those of equal distributions at once."""
    p, t = blocks.single_p(errors), errors.difference / errors.error
    of_cells = (np.broadcast_to(of[:, None], t.shape) for of in (errors.comparisons, errors.df, errors.correlation))
    near = p < intervals.ALPHA
    distinct, back = np.unique(np.stack([of[near] for of in of_cells], -1), axis=0, return_inverse=True)
    found, t = np.ones(len(back)), t[near]
    for at, (family, df, correlation) in enumerate(distinct.tolist()):
        of = np.flatnonzero(back.ravel() == at)
        found[of] = dunnett.exceedance(t[of], int(family), df, correlation)
    p[near] = found
    return p


WAYS = ((3, 6, 10), tuple(range(3, 11)))
QUESTIONS = ("normal", "one cell x4", "attention x4", "baseline x4", "a tenth missing")
_EFFECTS = (3.5, 2.2, 1.4)


def false_claims(noise, cells, count, *, planned=False):
    """Per cent of studies without any true difference in which a cell is claimed to differ: at one look at 3 seeds, and
    at any look of each of WAYS, which were `planned` or not."""
    rng = np.random.default_rng([cells, 77, NOISES.index(noise)])
    values = studies(noise, count, cells, 10, rng)
    smallest = {n: adjusted_p(values[:, :, :n]).min(1) for n in range(3, 11)}
    return 100 * np.mean(smallest[3] < 0.05), *(100 * np.mean(_claimed(way, smallest.get, planned)) for way in WAYS)


def false_answers(noise, count, *, planned=False):
    """The same of the three questions of `simulated_questions`."""
    values = drawn(noise, count, 10, np.random.default_rng([77, simulated_questions.NOISES.index(noise)]))
    judged = {n: family_of(values[:, :, :n]) for n in range(3, 11)}
    first = 100 * np.mean(question_p(judged[3]) < 0.05)
    return first, *(100 * np.mean(_claimed(way, judged.get, planned, question_p)) for way in WAYS)


def _levels(way, planned):
    return levels_of_looks(way, way[-1] if planned else way[0])


def _claimed(way, at, planned, p=lambda smallest, level: smallest):
    """(studies): whether any look claims. A claim that stands from an earlier look is counted there."""
    return np.any([p(at(n), level) < level for n, level in zip(way, _levels(way, planned), strict=True)], axis=0)


def found(noise, effect, way, count, *, planned=False):
    """Per cent of true differences found at the last look of `way`, claims that stand included, of those found by as
    many seeds at one look, and by the first look alone. Three of ten cells differ by `effect` standard
    deviations of a run."""
    values = studies(noise, count, 11, way[-1], np.random.default_rng([77, len(way)]))
    values[:, 1:4] += effect
    p = np.stack([adjusted_p(values[:, :, :n])[:, :3] for n in way])
    claimed = p < np.array(_levels(way, planned))[:, None, None]
    stands = claimed[-1] | (claimed.any(0) & (p[-1] < 0.05))
    return 100 * stands.mean(), 100 * np.mean(p[-1] < 0.05), 100 * claimed[0].mean()


def write_tables(count):
    for planned in (False, True):
        write("planned" if planned else "not planned")
        for noise in NOISES:
            of_sizes = (false_claims(noise, cells, count, planned=planned) for cells in (11, 4))
            write(noise, *map(_line, of_sizes))
        for noise in QUESTIONS:
            write("questions", noise, _line(false_answers(noise, count, planned=planned)))
        for effect in _EFFECTS:
            of_ways = (found("normal", effect, way, count, planned=planned) for way in ((3, 6), (3, 10), *WAYS))
            write("found", effect, *map(_line, of_ways))


def _line(numbers):
    return " / ".join(f"{of:.1f}" for of in numbers)


if __name__ == "__main__":
    write_tables(int(sys.argv[1]) if len(sys.argv) > 1 else 4_000)
