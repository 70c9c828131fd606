"""The best cell of a study whose sweep asks for it: `choose_best`, or `replicates` with `stop: best`."""

from __future__ import annotations

import numpy as np

from sklab.analysis.choice.posterior import Posterior, best_cell
from sklab.analysis.statistics.intervals import FloatArray
from sklab.spec.study.sweep import Sweep


def chances(sweep: Sweep, values: FloatArray) -> Posterior:
    """The probability of each row of `values` (cells, seeds) to be the best cell, and its shrunken mean; NaN where they
    are not asked for."""
    if sweep.chooses_best:
        return best_cell(values)
    nothing = np.full(len(values), np.nan)
    return Posterior(nothing, nothing)
