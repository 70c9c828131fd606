"""Prints how often the intervals of variance components hold; the argument is the number of simulated studies.

Run from the root: PYTHONPATH=tests/analysis/variance .venv/bin/python tests/analysis/simulated_sources.py 2000
"""

from __future__ import annotations

import sys

import numpy as np
from test_sources_of_variance import SETTINGS, Planted, covered, false_claims

from sklab.analysis.variance.components import of_differences, of_runs


def write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(studies: int) -> None:
    for name, planted in SETTINGS.items():
        for of in (of_runs, of_differences) if planted.shape[0] > 1 else (of_runs,):
            variances, shares = (100 * held for held in covered(planted, of, studies))
            write(f"{name}, {of.__name__}: variances {np.round(variances, 1)}, shares {np.round(shares, 1)}")
    planted, random = Planted((4, 3, 2, 2), ((0, 2), (0, 1))), np.random.default_rng(3)
    drawn = [planted.drawn(random) for _ in range(studies)]
    blocks, runs = false_claims([values.mean(axis=(2, 3)) for values in drawn]), [each.reshape(4, -1) for each in drawn]
    write(f"false claims of block means: {blocks:.1%}; of single runs: {false_claims(runs):.1%}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
