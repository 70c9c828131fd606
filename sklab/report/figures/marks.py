"""How the cells of a study are drawn, the same in every figure: means, intervals, names and axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.columns import metric_name, metric_unit
from sklab.report.escape import clean, shortened
from sklab.report.figures.style import ACCENT, BASE, INK, PAPER

_NAME = 28  # letters of a name
Kind = tuple[bool, bool]  # whether a row is the best, and whether it is the baseline


def kinds(rows: Sequence[Row]) -> dict[Kind, list[int]]:
    """Which of `rows` are drawn alike, the best and the baseline last and so on top."""
    members: dict[Kind, list[int]] = {}
    for at, row in enumerate(rows):
        members.setdefault((row.standing == "best", row.is_baseline), []).append(at)
    return dict(sorted(members.items()))


def means(rows: Sequence[Row], members: Sequence[int]) -> tuple[list[float], list[float]]:
    """Means and half widths, NaN where there is none."""
    numbers = [(rows[at].mean, rows[at].half) for at in members]
    middles, halves = (
        [math.nan if number is None else number for number in line] for line in zip(*numbers, strict=True)
    )
    return middles, halves


def mark(kind: Kind) -> dict[str, Any]:
    """How means are drawn: a kind shows by shape and size as well as by colour."""
    best, baseline = kind
    colour = ACCENT if best else BASE if baseline else INK
    shape, size = ("s" if baseline else "o"), (6.5 if best else 5.5 if baseline else 4.5)
    return {"fmt": shape, "ms": size, "mfc": colour, "mec": PAPER, "mew": 0.6, "ecolor": colour, "elinewidth": 1.1}


def short_name(name: str) -> str:
    """A cell's name on one line of a figure."""
    return shortened(clean(name), _NAME)


def metric_title(table: AblationTable) -> str:
    """The metric, to begin a title with."""
    return metric_name(table.sweep.metric).capitalize()


def metric_axis(table: AblationTable) -> str:
    """The metric with its unit, along an axis."""
    unit = metric_unit(table.sweep.metric)
    return metric_name(table.sweep.metric) + (f", {unit}" if unit else "")
