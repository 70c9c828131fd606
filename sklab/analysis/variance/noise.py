"""Where the spread between runs of one cell comes from: few images, or training.

A run's mean over N images varies from run to run because training differs, which no number of images mends, and
because chance on single images does not average out over few of them. The second part is estimated from the images:
what is left of them once a run's mean and an image's mean are taken out. The first is the rest of the table's residual
variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sklab.analysis.statistics import blocks
from sklab.analysis.statistics.intervals import FloatArray
from sklab.analysis.variance.crossed import Crossed


@dataclass(frozen=True)
class Noise:
    """The variance of one run's value about its cell's, once seeds are taken out: of chance on its `images`, and of
    `training`; in squares of the unit of the values."""

    images: float
    training: float

    @property
    def share(self) -> float:
        """The part of the images, 0 to 1."""
        return self.images / (self.images + self.training)

    def sd(self, times: float = 1.0) -> float:
        """The standard deviation of a run that is judged on so many times as many images."""
        return math.sqrt(self.images / times + self.training)

    def worth(self, times: float) -> float:
        """How many times as many seeds would narrow an interval as much as so many times as many images."""
        return (self.sd() / self.sd(times)) ** 2 if self.sd(times) else math.inf


def noise_of(values: FloatArray, effects: Crossed) -> Noise | None:
    """The noise of a table `values` (cells, seeds; NaN: no run) with the `effects` of its images. None without a spread
    between runs."""
    total, more = float(blocks.fit(values).variance), np.maximum(effects.runs - 1, 0)
    if not total > 0 or not more.any():
        return None
    own = np.diagonal(effects.noise) * effects.runs  # the variance that chance gives to one run of each cell
    images = min(float(np.nansum(own * more) / more.sum()), total)
    return Noise(images, total - images)
