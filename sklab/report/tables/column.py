"""A column of the table as a value."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from sklab.analysis.table.rows import AblationTable, Row

Text = Callable[[Row], str]
GROUP = "minus baseline"  # the heading over the comparison with the baseline


@dataclass(frozen=True)
class Column:
    """One column of the table.

    key      what `sklab table --columns` calls it
    title    its heading where a column stands alone
    group    the heading it shares with its neighbours ("" for none), and under that `head`
    legend   what it says, in one plain sentence
    text     the text of its cell in a row
    short    its heading in a terminal; "" where it is left out there
    measured whether its text needs a complete run
    """

    key: str
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
        """Whether it shows the levels of a factor, which are words and known without any run."""
        return not (self.short or self.measured or self.numeric)


def compared(table: AblationTable) -> list[Row]:
    """The rows with an interval of their difference from the baseline."""
    return [row for row in table.rows if row.baseline is not None and not math.isnan(row.baseline.half)]
