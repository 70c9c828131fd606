"""Which of the settings that a cell tried is chosen, from runs on seeds that serve for nothing else."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_DECIMALS = 9  # equal counts of wrong images must tie


def best_settings(values: npt.ArrayLike, common: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The setting of lowest mean, `common` where no other is lower, and the means.

    values  (..., settings, seeds), lower is better: infinite for a run that diverged, NaN for one without a number

    Returns positions (...) and means (..., settings) over the numbers that are there: infinite for a setting at which a
    run diverged, NaN for one without a number. Neither is chosen unless there is no other.
    """
    runs = np.asarray(values, dtype=np.float64)
    there = ~np.isnan(runs)
    sums, n = np.where(there, runs, 0.0).sum(-1), there.sum(-1)
    means = np.asarray(np.where(n > 0, sums / np.maximum(n, 1), np.nan), dtype=np.float64).round(_DECIMALS)
    ranked = np.where(np.isnan(means), np.inf, means)
    lowest = ranked.argmin(-1)
    is_common = ranked[..., common] <= ranked.min(-1)
    return np.asarray(np.where(is_common, common, lowest)), means
