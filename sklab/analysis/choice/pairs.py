"""Every cell against every other, by the method that the comparison with a baseline would choose."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr

from sklab.analysis.statistics import blocks, intervals
from sklab.analysis.statistics.checks import choose
from sklab.analysis.statistics.intervals import FloatArray


def all_pairs(values: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Every row of `values` (cells, seeds) minus every other: mean differences and two-sided p, both (cells, cells).

    The method is that which `compare` would choose. p is not adjusted, and NaN where there is no test.
    """
    table = np.asarray(values, dtype=np.float64)
    rows, seeds = (np.asarray((~np.isnan(table)).any(axis=axis)) for axis in (1, 0))
    tested = table[np.ix_(rows, seeds)]
    difference, p = _single_pairs(tested)
    choice = choose(tested)
    if choice.method == "pooled":
        pooled_rows = np.setdiff1d(np.arange(len(tested)), choice.noisy)
        difference[np.ix_(pooled_rows, pooled_rows)], p[np.ix_(pooled_rows, pooled_rows)] = _pooled_pairs(
            tested[pooled_rows]
        )
    np.fill_diagonal(p, np.nan)
    mean, everywhere = np.full((len(table), len(table)), np.nan), np.ix_(rows, rows)
    all_p = mean.copy()
    mean[everywhere], all_p[everywhere] = difference, p
    return mean, all_p


def _single_pairs(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    differences, _ = intervals.mean_difference(values[:, None], values[None])
    return differences.mean, differences.p


def _pooled_pairs(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    if np.isnan(values).any():
        of_rows = [blocks.standard_errors(values, at) for at in range(len(values))]
        p, difference = np.array([blocks.single_p(errors) for errors in of_rows]), of_rows[0].difference
    else:
        p, difference = pairs_p(values), values.mean(1)
    either = np.asarray(np.fmax(p, p.T))  # either side may be the one with a variance of its own
    return difference[:, None] - difference, either


def pairs_p(values: FloatArray) -> FloatArray:
    """p (cells, cells) of one table without gaps: row i is `blocks.single_p` with row i as the baseline."""
    (cells, seeds), whole = values.shape, blocks.fit(values)
    if cells == 2:
        return np.array([blocks.single_p(blocks.standard_errors(values, at)) for at in range(cells)])
    residuals = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    own, others = np.asarray(seeds - 1.0), np.asarray((cells - 2.0) * (seeds - 1))
    contrast = whole.squares * (cells / (cells - 1)) ** 2 / own
    common = np.maximum(whole.squares.sum() - whole.squares * cells / (cells - 1), 0) / others
    contrast = contrast if seeds > 2 else np.maximum(contrast, blocks.QUIETEST * common)
    squares = whole.squares + 2 * residuals @ residuals.T / (cells - 1) + whole.squares[:, None] / (cells - 1) ** 2
    of_cells = blocks.moderated(common[:, None], squares * (cells - 1) / (cells - 2), own)
    _, df = blocks.Spread(contrast, of_cells, common, own, others, own).share_and_df(own, own)
    differences = np.abs(values.mean(1) - values.mean(1)[:, None])
    return np.asarray(2 * stdtr(df[:, None], -differences / np.sqrt((contrast[:, None] + of_cells) / seeds)))
