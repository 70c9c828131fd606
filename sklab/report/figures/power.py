"""What the seeds at hand could show: each difference from the baseline beside the one that they would have found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from matplotlib.figure import Figure

from sklab.analysis.statistics.compare import Versus
from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.column import metric_unit
from sklab.report.comparison_columns import compared
from sklab.report.figures.marks import kinds, mark, short_name
from sklab.report.figures.style import BASE, GRID, Drawing, drawing, new_figure

_ROWS = 40


def power_figure(table: AblationTable) -> Drawing | None:
    """Differences with their intervals; None where no row has one."""
    rows = compared(table)
    if not rows:
        return None
    kept = {row.name for row in sorted(rows, key=_difference)[:_ROWS]}
    shown = [row for row in rows if row.name in kept]
    left_out = (
        f" Shown are {len(shown)} of {len(rows)} cells: the lowest differences." if len(shown) < len(rows) else ""
    )
    caption = (
        "Left of the dashed line is better than the baseline. Marks are differences, bars their 95 % intervals, which "
        "hold together: a cell is told apart where its bar does not touch the line. The grey band is what these seeds "
        "find less than four times in five: whether a difference inside it is real takes more seeds to say." + left_out
    )
    return drawing(
        "power", "Difference from the baseline, and what the seeds could show", caption, partial(_draw, table, shown)
    )


def _difference(row: Row) -> float:
    return row.baseline.difference if row.baseline else math.inf


def _draw(table: AblationTable, rows: Sequence[Row]) -> Figure:
    figure, (panel,) = new_figure(6.6, 0.9 + 0.27 * len(rows))
    against = [row.baseline or Versus() for row in rows]
    panel.axvline(0.0, color=BASE, lw=0.8, ls=(0, (4, 3)), zorder=1)
    found = [one.detectable for one in against]
    panel.barh(
        range(len(rows)), [2 * one for one in found], left=[-one for one in found], height=0.7, color=GRID, zorder=0
    )
    for kind, members in kinds(rows).items():
        differences = [against[at].difference for at in members]
        panel.errorbar(differences, members, xerr=[against[at].half for at in members], **mark(kind))
    panel.set_yticks(range(len(rows)), [short_name(row.name) for row in rows])
    panel.set_ylim(len(rows) - 0.4, -0.6)
    panel.grid(axis="y", visible=False)
    panel.tick_params(axis="y", length=0)
    points = ", percentage points" if metric_unit(table.sweep.metric) else ""
    panel.set_xlabel(f"minus {short_name(table.sweep.baseline)}{points}")
    return figure
