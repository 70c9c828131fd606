"""The figure of attention per class, with intervals over seeds and a test whether the classes differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sklab.analysis.attention.cells import CellAttention, Classes, per_class
from sklab.report.escape import clean
from sklab.report.figures.style import ACCENT, INK, MUTED, PAPER, SMALL, Drawing, drawing, new_figure, short_name
from sklab.report.words.phrases import listed, p_equals

_NAMED = 40  # classes with a name on the axis


def classes_figure(cells: Sequence[CellAttention], measure: str) -> list[Drawing]:
    """The figure of the first cell with attention per class, or none; `measure` is the name of what it shows."""
    cell, units = next(((cell, units) for cell in cells if (units := per_class(cell))), (None, []))
    if cell is None:
        return []
    caption = (
        f"{clean(cell.cell)}: attention per class in a low, a middle and a high unit. Marks are means over seeds, bars "
        "their 95 % intervals without what a seed does to all classes alike; the dashed line is their mean. "
        "p: whether the classes differ at all (F with the seeds as blocks, degrees of freedom after Greenhouse and "
        "Geisser, adjusted by Holm for the panels). Where they do, the marks are filled and in order of their rise. "
        "Open grey marks are in the order of the data set: differences there may be chance. "
        f"{_verdict(units)}"
    )
    draw = partial(_draw, units, measure)
    return [drawing("attention_classes", "Attention per class", caption, draw)]


def _verdict(units: Sequence[Classes]) -> str:
    differ = [unit.unit for unit in units if unit.differ]
    if not differ:
        tested = any(not math.isnan(unit.p) for unit in units)
        return "In no unit do the classes differ significantly." if tested else "The seeds allow no test."
    return f"The classes differ significantly in {listed(differ)}{'' if len(differ) == len(units) else ' alone'}."


def _draw(units: Sequence[Classes], measure: str) -> Figure:
    figure, panels = new_figure(2.6 * len(units) + 0.8, 2.9, 1, len(units), shared="y")
    for panel, unit in zip(panels, units, strict=True):
        colour, filling = (ACCENT, ACCENT) if unit.differ else (MUTED, PAPER)
        panel.errorbar(
            range(len(unit.classes)), unit.values, yerr=unit.halves, fmt="o", ms=3.5, color=colour, mfc=filling,
            mec=colour, elinewidth=0.9,
        )  # fmt: skip
        panel.axhline(float(np.nanmean(unit.values)), color=MUTED, lw=0.7, ls=(0, (4, 3)), zorder=0)
        _name_classes(panel, unit)
        panel.set_title(f"{short_name(unit.unit)}\n{_test_text(unit)}", loc="left", color=INK)
    figure.supylabel(measure, fontsize=9)
    return figure


def _name_classes(panel: Axes, unit: Classes) -> None:
    panel.grid(axis="x", visible=False)
    if len(unit.classes) <= _NAMED:
        names = [short_name(name)[:12] for name in unit.classes]
        panel.set_xticks(range(len(names)), names, rotation=0 if max(map(len, names)) < 3 else 90, fontsize=SMALL)
    else:
        panel.set_xlabel(f"{len(unit.classes)} classes{', sorted' if unit.differ else ''}")


def _test_text(unit: Classes) -> str:
    if math.isnan(unit.p):
        return "no test"
    return f"{p_equals(unit.p)}: {'classes differ' if unit.differ else 'no significant difference'}"
