"""Numbers as text, the same in every format, and their limits: an error lies within 0 and 100 %, so the ends of its
interval and differences have limits too."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from sklab.analysis.table.rows import AblationTable, Row
from sklab.spec.study.metrics import TOP1_ERROR
from sklab.spec.study.sweep import Metric

NOTHING = "–"
DAGGER = "†"
DOUBLE_DAGGER = "‡"
NO_TEST = "no test"
NONE_POSSIBLE = "none possible"
Scale = tuple[float, float, str, int]  # from this value on: divide by, unit, decimals
Limits = tuple[float, float]
ERRORS: Limits = (0.0, 100.0)


def fixed(value: float | None, digits: int) -> str:
    """`value` with `digits` decimals; a dash for None and NaN."""
    return NOTHING if value is None or math.isnan(value) else f"{value:,.{digits}f}"


def signed(value: float | None, digits: int) -> str:
    """`value` with its sign and `digits` decimals; the minus is as wide as the plus. A dash for None and NaN."""
    return NOTHING if value is None or math.isnan(value) else f"{value:+.{digits}f}".replace("-", "−")


def half_text(mean: float | None, half: float | None, within: Limits, digits: int) -> str:
    """The half width of an interval; its two ends where it is cut at `within`: `0.00 to 4.30`."""
    if mean is None or half is None or not is_cut(mean, half, within):
        return fixed(half, digits)
    return " to ".join(fixed(end, digits) for end in ends(mean, half, within))


def size_text(metric: Metric, size: float) -> str:
    """A size that the user stated: `1 point`, `0.5 points`, of a loss `0.02`."""
    unit = (" point" if size == 1 else " points") if metric.measure.unit else ""
    return f"{size:g}{unit}"


def difference_size(metric: Metric, difference: float) -> str:
    """A difference without its sign: `3.30 points`, of a loss `0.0330`."""
    return f"{fixed(abs(difference), metric.measure.digits)}{' points' if metric.measure.unit else ''}"


def p_text(p: float) -> str:
    """A p value with three decimals; `< 0.001` for the smallest ones."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def chance_text(chance: float | None) -> str:
    """A probability with two decimals, never as certain as 0 or 1."""
    if chance is None:
        return NOTHING
    return "< 0.01" if chance < 0.01 else "> 0.99" if chance > 0.99 else f"{chance:.2f}"


def scale(values: Iterable[float | None], scales: tuple[Scale, ...]) -> Scale:
    """The first of `scales` that fits the largest of `values`."""
    largest = max((value for value in values if value is not None), default=0.0)
    return next(candidate for candidate in scales if largest >= candidate[0])


def bounded(metric: Metric) -> str:
    """What lies within 0 and 100 %: `errors`, or `values` of any other metric."""
    return "errors" if metric.name == TOP1_ERROR else "values"


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
