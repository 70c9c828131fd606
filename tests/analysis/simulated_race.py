"""Simulated studies that add seeds where they are needed, by the very function that decides.

Run as a program it prints the table of benchmarks/statistics.md: `python tests/analysis/simulated_race.py 10000`.
"""

import sys

import numpy as np
import simulated_questions
from simulated import NOISES, rejects, studies

from sklab.analysis.statistics.sequential import BETTER, WORSE, race, race_of_questions
from sklab.spec.study.sweep import Replicates

RULE = Replicates(start=3, max=10)
EFFECTS = ((3.0, 3.0, 3.0), (2.0, 2.0, 2.0), (1.4, 1.4, 1.4), (3.0, 2.0, 1.4))  # in standard deviations of a run
CELLS = 11


def raced(values):
    """Which cells but the baseline are told apart, (studies, cells - 1), and the share of all runs that it took."""
    found = race(values, np.ones(values.shape, dtype=bool), 0, RULE)
    return np.isin(found.verdict, (BETTER, WORSE))[:, 1:], found.requested.sum() / values.size


def false_alarms(noise, cells, count):
    """Per cent of studies without a true difference in which one is claimed, and per cent of the runs of 10 seeds."""
    values = studies(noise, count, cells, RULE.max, np.random.default_rng([cells, NOISES.index(noise)]))
    told, runs = raced(values)
    return 100 * told.any(1).mean(), 100 * runs


def beside_fixed(effects, count, noise="normal"):
    """Per cent: runs of those of 10 seeds, cells of the same verdict, true differences found by the race and by 10."""
    values = studies(noise, count, CELLS, RULE.max, np.random.default_rng(7))
    values[:, 1 : 1 + len(effects)] += np.array(effects)[:, None]
    (told, runs), fixed = raced(values), rejects(values)
    true = slice(len(effects))
    return tuple(100 * part for part in (runs, (told == fixed).mean(), told[:, true].mean(), fixed[:, true].mean()))


def questions(noise, count, effect=0.0):
    """Per cent of studies with a claim on any question, and on the first; and per cent of the runs of 10 seeds."""
    values = simulated_questions.drawn(noise, count, RULE.max, np.random.default_rng(11))
    values[:, simulated_questions.WITH_ATTENTION] -= effect
    found = race_of_questions(values, np.ones(values.shape, dtype=bool), simulated_questions.QUESTIONS, RULE)
    told = np.isin(found.verdict, (BETTER, WORSE))
    return 100 * told.any(1).mean(), 100 * told[:, 0].mean(), 100 * found.requested.sum() / values.size


def write(*cells_of_row):
    sys.stdout.write("| " + " | ".join(map(str, cells_of_row)) + " |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    number = int(sys.argv[1])
    for effects in EFFECTS:
        write(effects, *(f"{part:.1f}" for part in beside_fixed(effects, number)))
    for noise in simulated_questions.NOISES:
        write("questions", noise, *(f"{part:.1f}" for part in questions(noise, number)))
    for effect in (0.65, 1.0, 1.3):
        write("attention", effect, *(f"{part:.1f}" for part in questions("normal", number, effect)))
    for noise in NOISES:
        write(noise, *(f"{part:.1f}" for cells in (CELLS, 4) for part in false_alarms(noise, cells, number)))
