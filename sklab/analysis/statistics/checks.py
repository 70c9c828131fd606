"""What the pooled comparison assumes, tested on the data: equal variances and additivity.

Both tests work on complete tables (..., cells, seeds), with the seeds' own effects taken out, and hold their level for
normal errors at any number of seeds; Levene's and Bartlett's do not at three. Sources: W. G. Cochran, The distribution
of the largest of a set of estimated variances as a fraction of their total, Annals of Eugenics 11 (1941), 47-52; J. W.
Tukey, One degree of freedom for non-additivity, Biometrics 5 (1949), 232-242.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincc, fdtrc

from sklab.analysis.statistics.blocks import fit
from sklab.analysis.statistics.intervals import BoolArray, FloatArray, IntArray

FAILS_BELOW = 0.01  # a check of few seeds has little power; below this p it speaks plainly


@dataclass(frozen=True)
class Check:
    """`p` of the assumption, NaN where the table is too small to test it, and the `statistic` it comes from."""

    statistic: FloatArray
    p: FloatArray

    @property
    def fails(self) -> BoolArray:
        """True where the data speak against the assumption."""
        return np.asarray(self.p < FAILS_BELOW)


def equal_variances(values: FloatArray) -> Check:
    """Cochran's test: the largest share (statistic) that one cell has in all squared residuals.

    One cell's residuals against the rest follow a beta distribution; p is its tail times the number of cells.
    No test of two cells, whose residuals are the same but for the sign.
    """
    cells, seeds = values.shape[-2:]
    fitted = fit(values)
    share = fitted.squares.max(-1) / np.where(fitted.variance > 0, fitted.variance * fitted.df, np.nan)
    if cells < 3:
        return Check(share, np.full(share.shape, np.nan))
    scaled = np.minimum(share * cells / (cells - 1), 1.0)
    tail = betaincc((seeds - 1) / 2, (cells - 2) * (seeds - 1) / 2, scaled)
    return Check(share, np.minimum(cells * tail, 1.0))


def noisiest(values: FloatArray) -> IntArray:
    """The row with the largest squared residuals: the one that `equal_variances` is about."""
    return np.asarray(fit(values).squares.argmax(-1))


def additivity(values: FloatArray) -> Check:
    """Tukey's test: do seeds that are hard for all cells spread the cells more, or less? F(1, df - 1)."""
    fitted = fit(values)
    cell = values.mean(-1) - values.mean((-2, -1))[..., None]
    seed = values.mean(-2) - values.mean((-2, -1))[..., None]
    size = (cell**2).sum(-1) * (seed**2).sum(-1)
    product = np.einsum("...cs,...c,...s->...", values, cell, seed)
    if np.any(fitted.df < 2):
        return Check(np.full(size.shape, np.nan), np.full(size.shape, np.nan))
    with np.errstate(invalid="ignore", divide="ignore"):
        explained = product**2 / size
        left = np.maximum(fitted.variance * fitted.df - explained, 0) / (fitted.df - 1)
        statistic = explained / left
    return Check(statistic, np.asarray(fdtrc(1, fitted.df - 1, statistic)))
