"""The figures of evidence: differences beside the smallest detectable ones, and how the intervals narrowed with each
look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from sklab.analysis.statistics.compare import Versus
from sklab.analysis.statistics.sequential import BETTER, WORSE, Race
from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.figures.style import (
    ACCENT,
    BASE,
    GRID,
    MUTED,
    SINGLE,
    Drawing,
    bar,
    better_side,
    drawing,
    kinds,
    mark,
    metric_axis,
    metric_title,
    name_lines,
    new_figure,
    panel_grid,
    short_name,
)
from sklab.report.numbers import ends, fixed, limits, possible
from sklab.report.tables.column import compared
from sklab.report.words.notes import decisions

_ROWS = 40
NAME = "looks"
_PANELS = 24
_BEYOND = 3  # half widths of the last look that the axis goes beyond the largest difference


def power_figure(table: AblationTable) -> Drawing | None:
    """The figure of differences with their intervals; None where no row has one."""
    rows = compared(table)
    if not rows:
        return None
    measure = table.sweep.metric.measure
    kept = {row.name for row in sorted(rows, key=_ranked)[:_ROWS]}
    shown = [row for row in rows if row.name in kept]
    left_out = (
        f" Shown are {len(shown)} of {len(rows)} cells: the {measure.best} differences."
        if len(shown) < len(rows)
        else ""
    )
    least = min(map(abs, possible(table)))
    beyond = any(row.baseline and row.baseline.detectable > least for row in rows)
    cut = f" It ends where the {measure.noun} would be 0 or 100 %." if beyond else ""
    caption = (
        f"{better_side(table)} of the dashed line is better than the baseline. Marks are differences, bars their "
        "simultaneous 95 % intervals: a cell differs significantly where its bar does not touch the line. These seeds "
        "find a difference inside the grey band with less than 80 % power; there, more seeds are needed."
        + cut
        + left_out
    )
    return drawing(
        "power",
        "Difference from the baseline, and what the seeds could show",
        caption,
        partial(_draw, table, shown),
        single=True,
    )


def _ranked(row: Row) -> float:
    """The difference, turned so that lower is better."""
    return row.measure.sign * row.baseline.difference if row.baseline else math.inf


def _draw(table: AblationTable, rows: Sequence[Row]) -> Figure:
    figure, (panel,) = new_figure(SINGLE, 0.9 + 0.3 * len(rows))
    against = [row.baseline or Versus() for row in rows]
    least, highest = limits(table.sweep.metric)
    most = highest - least  # of a difference, in either direction
    panel.axvline(0.0, color=BASE, lw=0.8, ls=(0, (4, 3)), zorder=1)
    bands = [ends(0.0, versus.detectable, possible(table)) for versus in against]
    panel.barh(
        range(len(rows)), [high - low for low, high in bands], left=[low for low, _ in bands], height=0.7, color=GRID,
        zorder=0,
    )  # fmt: skip
    for kind, members in kinds(rows).items():
        drawn = [(against[at].difference, against[at].half) for at in members]
        bars = [
            [bar(half, most + difference) for difference, half in drawn],
            [bar(half, most - difference) for difference, half in drawn],
        ]
        panel.errorbar([difference for difference, _ in drawn], members, xerr=bars, **mark(kind))
    name_lines(panel, [row.name for row in rows])
    points = ", points" if table.sweep.metric.measure.unit else ""
    panel.set_xlabel(f"minus {short_name(table.sweep.baseline)}{points}")
    return figure


def sequential_figure(table: AblationTable) -> list[Drawing]:
    """The figure with a panel per cell: its difference and interval at each look. None where all cells have the same
    seeds."""
    race = table.race
    if race is None or not race.looks:
        return []
    drawn = [at for at in range(len(table.race_names)) if np.isfinite(_looks_of(race, at)[1]).any()]
    if not drawn:
        return []
    shown = drawn[:_PANELS]
    difference = "Difference that a question asks about" if table.sweep.by_question else "Difference from the baseline"
    caption = (
        f"{difference} after each further seed, with 95 % intervals that are simultaneous over all panels and looks. A "
        f"panel ends where its comparison was settled: {decisions(table, race, shown)}."
        f"{_cut(table, race, shown)}"
    )
    left_out = f" Shown are the first {_PANELS} of {len(drawn)} comparisons." if len(drawn) > _PANELS else ""
    title = f"{metric_title(table)}: how the intervals closed"
    return [drawing(NAME, title, caption + left_out, partial(_draw_looks, table, race, shown))]


def _looks_of(race: Race, at: int) -> tuple[list[int], list[float], list[float]]:
    """Seeds, differences and half widths of the looks at which this cell was still tested."""
    looks = [look for look in race.looks if np.isfinite(look.half[at])]
    return (
        [look.seeds for look in looks],
        [float(look.difference[at]) for look in looks],
        [float(look.half[at]) for look in looks],
    )


def _limit(race: Race, cells: Sequence[int]) -> float:
    """The end of the axis on either side, where it can't hold every interval: nearly all of the 5 % is kept for the
    last looks, so the first intervals may be thousands of times as wide as the last."""
    looks = [_looks_of(race, at) for at in cells]
    last = max(seeds[-1] for seeds, _, _ in looks)
    largest = max(abs(difference) for _, differences, _ in looks for difference in differences)
    return largest + _BEYOND * max(halves[-1] for seeds, _, halves in looks if seeds[-1] == last)


def _cut(table: AblationTable, race: Race, cells: Sequence[int]) -> str:
    """The remark about intervals that go beyond the axis; "" where none does."""
    limit = _limit(race, cells)
    beyond = [
        half
        for at in cells
        for _, difference, half in zip(*_looks_of(race, at), strict=True)
        if abs(difference) + half > limit
    ]
    widest = fixed(max(beyond, default=0.0), table.sweep.metric.measure.digits)
    return f" An interval that goes beyond the axis ends in an arrowhead; the widest is ±{widest}." if beyond else ""


def _draw_looks(table: AblationTable, race: Race, cells: Sequence[int]) -> Figure:
    figure, panels = panel_grid(len(cells))
    limit = _limit(race, cells)
    if _cut(table, race, cells):
        panels[0].set_ylim(-limit, limit)
    for panel, at in zip(panels, cells, strict=True):
        seeds, differences, halves = _looks_of(race, at)
        colour = ACCENT if race.verdict[at] in (BETTER, WORSE) else MUTED
        panel.axhline(0.0, color=BASE, lw=0.9, ls=(0, (4, 3)), zorder=0)
        panel.errorbar(seeds, differences, yerr=halves, fmt="o-", ms=3, lw=0.9, color=colour)
        for side, arrowhead in ((1, "^"), (-1, "v")):
            cut = [
                seed
                for seed, difference, half in zip(seeds, differences, halves, strict=True)
                if side * difference + half > limit
            ]
            panel.plot(cut, [side * limit] * len(cut), arrowhead, ms=4, color=colour, clip_on=False)
        panel.set_title(f"{short_name(table.race_names[at])}: {race.verdict[at]}", loc="left")
    figure.supxlabel("seeds", fontsize=9)
    figure.supylabel(f"difference, {metric_axis(table)}", fontsize=9)
    return figure
