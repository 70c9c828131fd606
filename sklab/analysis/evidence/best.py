"""The best cell of a study: `choose_best`, or `replicates` with `stop: best`, or the choice that is to be confirmed."""

from __future__ import annotations

import numpy as np

from sklab.analysis.choice.posterior import Posterior, best_cell
from sklab.analysis.evidence.blocks import shared_values
from sklab.analysis.statistics.intervals import FloatArray
from sklab.spec.study.sweep import Sweep


def chances(sweep: Sweep, values: FloatArray) -> Posterior:
    """The probability of each row of `values` (cells, seeds of the sweep or their blocks) to be the best cell, and its
    shrunken mean, by the seeds that cells share."""
    sign = sweep.metric.measure.sign
    found = best_cell(sign * shared_values(sweep, values))
    return Posterior(found.best, sign * found.mean)


def not_asked(cells: int) -> Posterior:
    """The same where the sweep does not ask for it: NaN."""
    return Posterior(np.full(cells, np.nan), np.full(cells, np.nan))
