"""A column as a value, and how the numbers in it are written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sklab.analysis.table.rows import Row
from sklab.spec.study.sweep import Metric

NOTHING = "–"
DAGGER = "†"
Text = Callable[[Row], str]
Scale = tuple[float, float, str, int]  # from this value on: divide by, unit, decimals


@dataclass(frozen=True)
class Column:
    """One column of the table.

    title    its heading where a column stands alone
    group    the heading it shares with its neighbours ("" for none), and under that `head`
    legend   in plain words, what it says
    text     the text of its cell in a row
    short    its heading in a terminal; "" where it is left out there
    measured whether it takes a complete run to say anything
    """

    title: str
    group: str
    head: str
    legend: str
    text: Text
    short: str
    numeric: bool = True
    measured: bool = True

    @property
    def is_factor(self) -> bool:
        """Whether it shows the levels of a factor: words, known without any run."""
        return not (self.short or self.measured or self.numeric)


def metric_unit(metric: Metric) -> str:
    """`%` for errors, "" for losses."""
    return "%" if metric.name == "val_error" else ""


def metric_name(metric: Metric) -> str:
    """The metric in words, as in `validation error`."""
    return metric.name.replace("val_", "validation ")


def metric_digits(metric: Metric) -> int:
    """Decimals it is printed with."""
    return 2 if metric.name == "val_error" else 4


def fixed(value: float | None, digits: int) -> str:
    """With `digits` decimals; a dash for None and NaN."""
    return NOTHING if value is None or math.isnan(value) else f"{value:,.{digits}f}"


def signed(value: float | None, digits: int) -> str:
    """With its sign; the minus as wide as the plus."""
    return NOTHING if value is None or math.isnan(value) else f"{value:+.{digits}f}".replace("-", "−")


def p_text(p: float) -> str:
    """A p value with three decimals, the least in words."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def scale(values: Iterable[float | None], scales: tuple[Scale, ...]) -> Scale:
    """The one of `scales` that fits the largest of `values`."""
    largest = max((value for value in values if value is not None), default=0.0)
    return next(one for one in scales if largest >= one[0])
