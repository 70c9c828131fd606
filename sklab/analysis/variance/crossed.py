"""Seeds and images as crossed random effects: intervals that hold for new seeds on new images.

    value of a run on an image = cell + seed of the cell + image + image of the cell + chance of this run on this image

All runs are judged on the same N images, so a difference of two cells is paired by image: what an image does to both
drops out. The table's standard error covers new seeds alone; it contains what chance on single images adds to the mean
of a run. To it comes the variance that other images would add to a contrast of cells:

    (spread of the per-image contrast over images  -  what chance on single images adds to that spread) / N

at least 0. Images with a common source (a digit, a patient) count together: sums over sources take the place of single
images, as in cluster sampling. Degrees of freedom are Satterthwaite's.

Sources: J. Cornfield, J. W. Tukey, Average values of mean squares in factorials, Annals of Mathematical Statistics 27
(1956), 907-949; F. E. Satterthwaite, An approximate distribution of estimates of variance components, Biometrics
Bulletin 2 (1946), 110-114; K.-Y. Liang, S. L. Zeger, Longitudinal data analysis using generalized linear models,
Biometrika 73 (1986), 13-22.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, stdtr, stdtrit

from sklab.analysis.statistics.intervals import ALPHA, FloatArray, IntArray


@dataclass(frozen=True)
class Crossed:
    """What images add to means over them, for all pairs of cells.

    spread  (..., cells, cells): covariance over images of the cells' means over seeds; contains `noise`
    noise   (..., cells, cells): the part of `spread` that chance on single images adds; NaN for a cell with one run
    runs    (..., cells): runs of each cell
    df      degrees of freedom of `spread`: sources or single images, less one
    """

    spread: FloatArray
    noise: FloatArray
    runs: IntArray
    df: int

    def parts(self, weights: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """(..., contrasts): spread and noise of contrasts `weights` (contrasts, cells)."""
        of_cells = np.asarray(weights, dtype=np.float64)
        return _quadratic(self.spread, of_cells), _quadratic(self.noise, of_cells)

    def standard_error(
        self, weights: npt.ArrayLike, error: npt.ArrayLike, df: npt.ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        """Standard errors (..., contrasts) for new seeds and images, and their degrees of freedom.

        `error` and `df` (..., contrasts) are those for new seeds.
        """
        of_cells, seeds = np.asarray(weights, dtype=np.float64), np.asarray(error, dtype=np.float64) ** 2
        spread, noise = self.parts(of_cells)
        both = seeds + np.maximum(spread - noise, 0)
        fewest = np.where(of_cells != 0, self.runs[..., None, :], np.inf).min(-1) - 1
        none = spread <= noise
        parts = (
            seeds**2 / np.asarray(df, dtype=np.float64),
            np.where(none, 0, spread**2 / self.df),
            np.where(none, 0, noise**2 / (self.df * np.maximum(fewest, 1))),
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.sqrt(both), np.asarray(both**2 / sum(parts))


def deviations(values: npt.ArrayLike, sources: npt.ArrayLike | None = None) -> FloatArray:
    """What each source adds to the mean of `values` (..., images): (..., sources), scaled so that the sum of their
    squares estimates the variance of that mean over new images. `sources` int [images] numbers them from 0; None: each
    image is its own."""
    of_images = np.asarray(values, dtype=np.float64)
    off = of_images - of_images.mean(-1, keepdims=True)
    if sources is not None:
        numbers = np.asarray(sources)
        order = np.argsort(numbers, kind="stable")
        starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
        off = np.add.reduceat(off[..., order], starts, axis=-1)
    groups = off.shape[-1]
    return np.asarray(off * (math.sqrt(groups / max(groups - 1, 1)) / of_images.shape[-1]))


def crossed(deviating: npt.ArrayLike) -> Crossed:
    """The covariances from the `deviations` of every run, (..., cells, seeds, sources), NaN for a run that is not
    there."""
    values = np.asarray(deviating)
    there = ~np.isnan(values[..., 0])
    n = there.sum(-1)
    held = np.where(there[..., None], values, 0)
    mean = held.sum(-2) / np.maximum(n, 1)[..., None]
    rest = np.where(there[..., None], held - mean[..., None, :], 0)
    flat = rest.reshape(*rest.shape[:-2], -1)
    together = there.astype(np.float64) @ np.swapaxes(there, -1, -2)
    # Residuals of two cells that share m seeds have (n - 1)(n' - 1) + m - 1 times the covariance of their means.
    times = (n[..., :, None] - 1.0) * (n[..., None, :] - 1) + together - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        noise = np.where(times > 0, (flat @ np.swapaxes(flat, -1, -2)) / times, 0)
    own = np.eye(n.shape[-1], dtype=bool)
    noise = np.where(own & (n < 2)[..., None, :], np.nan, noise)
    return Crossed(mean @ np.swapaxes(mean, -1, -2), noise, n, values.shape[-1] - 1)


def half_width(error: FloatArray, df: FloatArray, half: FloatArray, both: tuple[FloatArray, FloatArray]) -> FloatArray:
    """Half widths for new seeds and images of intervals that have the level, comparison by comparison, of those for new
    seeds alone: of standard error `error`, degrees of freedom `df` and half width `half`. `both` is what
    `standard_error` gives. Never less than `half`: more cannot be known of more."""
    level = stdtr(df, half / error)
    return np.fmax(half, stdtrit(both[1], level) * both[0])


def one_run_each(first: npt.ArrayLike, second: npt.ArrayLike, sources: npt.ArrayLike | None) -> tuple[float, float]:
    """The half width of the 95 % interval of the mean of `second` minus `first` (images) for new images, and two-sided
    p. Two trained networks are compared so, not what trained them.

    p of wrong against right images is that of McNemar's exact test where each image is its own source.
    """
    difference = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    off = deviations(difference, sources)
    error, df = math.sqrt(float((off**2).sum())), len(off) - 1
    if not error or df < 1:
        return math.nan, math.nan
    half = float(stdtrit(df, 1 - ALPHA / 2)) * error
    changed = np.unique(np.abs(difference[difference != 0]))
    if sources is None and len(changed) == 1:
        return half, mcnemar(int((difference > 0).sum()), int((difference < 0).sum()))
    return half, float(2 * stdtr(df, -abs(float(difference.mean())) / error))


def mcnemar(more: int, less: int) -> float:
    """Two-sided p of McNemar's exact test: `more` images changed one way and `less` the other."""
    return float(min(1.0, 2 * bdtr(min(more, less), more + less, 0.5))) if more + less else 1.0


def _quadratic(matrix: FloatArray, weights: FloatArray) -> FloatArray:
    """weights matrix weights' for each contrast; cells without weight do not count, even where they are NaN."""
    return np.asarray(
        np.stack(
            [
                np.einsum("...ij,i,j->...", matrix[..., held, :][..., :, held], row[held], row[held])
                for row in weights
                for held in [np.flatnonzero(row)]
            ],
            axis=-1,
        )
    )
