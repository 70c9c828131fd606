"""The limits of numbers: an error lies within 0 and 100 %, so the ends of its interval and differences have limits
too."""

from __future__ import annotations

from collections.abc import Sequence

from sklab.analysis.table.rows import AblationTable, Row
from sklab.spec.study.sweep import Metric

Limits = tuple[float, float]
ERRORS: Limits = (0.0, 100.0)


def limits(metric: Metric) -> Limits:
    """The smallest and the largest value that the metric can have; a loss has no limits."""
    return metric.measure.lowest, metric.measure.highest


def ends(mean: float, half: float, within: Limits) -> Limits:
    """The ends of an interval, cut at `within`."""
    return max(mean - half, within[0]), min(mean + half, within[1])


def is_cut(mean: float | None, half: float | None, within: Limits) -> bool:
    """Whether an interval around the mean would leave `within`; False where there is no interval."""
    return mean is not None and half is not None and (mean - half < within[0] or mean + half > within[1])


def any_cut(rows: Sequence[Row], within: Limits) -> bool:
    """Whether the interval around the mean of any row would leave `within`."""
    return any(is_cut(row.mean, row.half, within) for row in rows)


def possible(table: AblationTable) -> Limits:
    """The smallest and the largest true difference from the baseline that is possible, if the baseline's mean is
    right."""
    baseline, (low, high) = table.baseline, limits(table.sweep.metric)
    mean = 0.0 if baseline is None or baseline.mean is None else baseline.mean
    return low - mean, high - mean


def can_be_found(table: AblationTable, detectable: float) -> bool:
    """Whether a true difference from the baseline can be as large as `detectable`, in one direction or the other."""
    low, high = possible(table)
    return not detectable > max(-low, high)  # True for NaN


def can_differ(metric: Metric, by: float) -> bool:
    """Whether any two values of the metric can differ so much."""
    low, high = limits(metric)
    return not by > high - low
