"""How the comparisons with the baseline closed, look by look, in a study that added seeds where they were needed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from sklab.analysis.rows import AblationTable
from sklab.analysis.sequential import BETTER, WORSE, Race
from sklab.report.marks import metric_axis, metric_title, short_name
from sklab.report.settled import settled
from sklab.report.style import ACCENT, BASE, MUTED, Drawing, drawing, panel_grid

NAME = "looks"
_PANELS = 24


def looks_figure(table: AblationTable) -> list[Drawing]:
    """One panel per cell: its difference and interval at each look. Nothing where all cells have the same seeds."""
    race = table.race
    if race is None or not race.looks:
        return []
    shown = [at for at in range(len(table.sweep.cells)) if np.isfinite(_of_cell(race, at)[1]).any()]
    if not shown:
        return []
    caption = (
        "Difference from the baseline after each further seed, with intervals that hold together for all cells and all "
        f"looks with 95 %. A panel ends where its cell was settled: {settled(table, race, shown[:_PANELS])}."
    )
    left_out = f" Shown are the first {_PANELS} of {len(shown)} cells." if len(shown) > _PANELS else ""
    title = f"{metric_title(table)}: how the intervals closed"
    return [drawing(NAME, title, caption + left_out, partial(_draw, table, race, shown[:_PANELS]))]


def _of_cell(race: Race, at: int) -> tuple[list[int], list[float], list[float]]:
    """Seeds, differences and half widths of the looks that this cell was in the race at."""
    looks = [look for look in race.looks if np.isfinite(look.half[at])]
    return (
        [look.seeds for look in looks],
        [float(look.difference[at]) for look in looks],
        [float(look.half[at]) for look in looks],
    )


def _draw(table: AblationTable, race: Race, cells: Sequence[int]) -> Figure:
    figure, panels = panel_grid(len(cells))
    for panel, at in zip(panels, cells, strict=True):
        seeds, differences, halves = _of_cell(race, at)
        told = race.verdict[at] in (BETTER, WORSE)
        panel.axhline(0.0, color=BASE, lw=0.9, ls=(0, (4, 3)), zorder=0)
        panel.errorbar(seeds, differences, yerr=halves, fmt="o-", ms=3, lw=0.9, color=ACCENT if told else MUTED)
        panel.set_title(f"{short_name(table.sweep.cells[at].name)}: {race.verdict[at]}", loc="left")
    figure.supxlabel("seeds", fontsize=9)
    figure.supylabel(f"difference, {metric_axis(table)}", fontsize=9)
    return figure
