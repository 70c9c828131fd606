"""Ours beside published figures: is a number reproduced, and do both put the cells in the same order?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Verdict = Literal["reproduced", "not reproduced", "cannot tell"]


@dataclass(frozen=True)
class RankAgreement:
    """Kendall's `tau` (b: with ties) over the `n` cells that have both figures, with its two-sided `p`.

    1: the same order, -1: reversed. NaN for fewer than two cells or where one side has only ties.
    """

    tau: float
    p: float
    n: int


def verdict(difference: float, half: float, tolerance: float) -> Verdict:
    """Ours minus published, with the half width of its interval, against a `tolerance` in the same unit.

    reproduced        the whole interval lies within the tolerance: the two are equivalent
    not reproduced    the whole interval lies outside it
    cannot tell       anything else, an interval that is NaN included
    """
    if abs(difference) + half <= tolerance:
        return "reproduced"
    return "not reproduced" if abs(difference) - half > tolerance else "cannot tell"


def rank_agreement(ours: npt.ArrayLike, published: npt.ArrayLike) -> RankAgreement:
    """Kendall's tau between two columns (cells), NaN where a figure is missing."""
    pair = np.array([ours, published], dtype=np.float64)
    both = pair[:, ~np.isnan(pair).any(axis=0)]
    n = both.shape[1]
    if n < 2 or np.any(np.ptp(both, axis=1) == 0):
        return RankAgreement(float("nan"), float("nan"), n)
    from scipy.stats import kendalltau  # more than a second, which a report without such figures does without

    found = kendalltau(*both)
    return RankAgreement(float(found.statistic), float(found.pvalue), n)
