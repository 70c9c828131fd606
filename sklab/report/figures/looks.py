"""How the comparisons with the baseline closed, look by look, in a study that added seeds where they were needed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from sklab.analysis.statistics.sequential import BETTER, WORSE, Race
from sklab.analysis.table.rows import AblationTable
from sklab.report.column import fixed, metric_digits
from sklab.report.figures.marks import metric_axis, metric_title, short_name
from sklab.report.figures.style import ACCENT, BASE, MUTED, Drawing, drawing, panel_grid
from sklab.report.words.settled import settled

NAME = "looks"
_PANELS = 24
_BEYOND = 3  # half widths of the last look that the axis goes beyond the largest difference


def looks_figure(table: AblationTable) -> list[Drawing]:
    """One panel per cell: its difference and interval at each look. Nothing where all cells have the same seeds."""
    race = table.race
    if race is None or not race.looks:
        return []
    drawn = [at for at in range(len(table.sweep.cells)) if np.isfinite(_of_cell(race, at)[1]).any()]
    if not drawn:
        return []
    shown = drawn[:_PANELS]
    caption = (
        "Difference from the baseline after each further seed, with intervals that hold together for all cells and all "
        f"looks with 95 %. A panel ends where its cell was settled: {settled(table, race, shown)}."
        f"{_cut(table, race, shown)}"
    )
    left_out = f" Shown are the first {_PANELS} of {len(drawn)} cells." if len(drawn) > _PANELS else ""
    title = f"{metric_title(table)}: how the intervals closed"
    return [drawing(NAME, title, caption + left_out, partial(_draw, table, race, shown))]


def _of_cell(race: Race, at: int) -> tuple[list[int], list[float], list[float]]:
    """Seeds, differences and half widths of the looks that this cell was in the race at."""
    looks = [look for look in race.looks if np.isfinite(look.half[at])]
    return (
        [look.seeds for look in looks],
        [float(look.difference[at]) for look in looks],
        [float(look.half[at]) for look in looks],
    )


def _limit(race: Race, cells: Sequence[int]) -> float:
    """Where the axis ends on either side when it can't hold all: nearly all of the 5 % is kept for the last looks, so
    the first intervals may be thousands of times as wide as these."""
    looks = [_of_cell(race, at) for at in cells]
    last = max(seeds[-1] for seeds, _, _ in looks)
    largest = max(abs(difference) for _, differences, _ in looks for difference in differences)
    return largest + _BEYOND * max(halves[-1] for seeds, _, halves in looks if seeds[-1] == last)


def _cut(table: AblationTable, race: Race, cells: Sequence[int]) -> str:
    """What to know of intervals that the axis does not hold; "" where it holds all."""
    limit = _limit(race, cells)
    beyond = [
        half
        for at in cells
        for _, difference, half in zip(*_of_cell(race, at), strict=True)
        if abs(difference) + half > limit
    ]
    widest = fixed(max(beyond, default=0.0), metric_digits(table.sweep.metric))
    return f" An interval that goes beyond the axis ends in an arrowhead; the widest is ±{widest}." if beyond else ""


def _draw(table: AblationTable, race: Race, cells: Sequence[int]) -> Figure:
    figure, panels = panel_grid(len(cells))
    limit = _limit(race, cells)
    if _cut(table, race, cells):
        panels[0].set_ylim(-limit, limit)
    for panel, at in zip(panels, cells, strict=True):
        seeds, differences, halves = _of_cell(race, at)
        colour = ACCENT if race.verdict[at] in (BETTER, WORSE) else MUTED
        panel.axhline(0.0, color=BASE, lw=0.9, ls=(0, (4, 3)), zorder=0)
        panel.errorbar(seeds, differences, yerr=halves, fmt="o-", ms=3, lw=0.9, color=colour)
        for side, arrowhead in ((1, "^"), (-1, "v")):
            cut = [seed for seed, d, half in zip(seeds, differences, halves, strict=True) if side * d + half > limit]
            panel.plot(cut, [side * limit] * len(cut), arrowhead, ms=4, color=colour, clip_on=False)
        panel.set_title(f"{short_name(table.sweep.cells[at].name)}: {race.verdict[at]}", loc="left")
    figure.supxlabel("seeds", fontsize=9)
    figure.supylabel(f"difference, {metric_axis(table)}", fontsize=9)
    return figure
