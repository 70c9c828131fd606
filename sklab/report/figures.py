"""The figures of a study: error per cell, error against cost, learning curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sklab.analysis.rows import AblationTable, Row
from sklab.report.columns import metric_name, metric_unit
from sklab.report.curves import Curve, chosen
from sklab.report.escape import clean
from sklab.report.labels import place_labels
from sklab.report.style import ACCENT, BASE, INK, MUTED, PAPER, Drawing, new_figure, svg

NAMES = ("error", "error_params", "error_macs", "curves")
_ROWS = 40  # cells in the figure of errors
_LABELLED = 16  # points with a name in a scatter
_NAME = 28  # letters of a name
_THOUSANDS = ("", ", thousands", ", millions", ", billions", ", trillions")
Kind = tuple[bool, bool]  # whether a row is the best, and whether it is the baseline


def draw(table: AblationTable, curves: Mapping[str, list[Curve]]) -> list[Drawing]:
    """The figures that there are numbers for, in the order of NAMES."""
    if table.best is None:
        return []
    costs = [
        _scatter(table, field, label)
        for field, label in (("params", "parameters"), ("macs", "multiply-accumulates"))
        if any(getattr(row, field) for row in table.rows)
    ]
    return [_errors(table), *costs, *([_curves(table, curves)] if curves else [])]


def _errors(table: AblationTable) -> Drawing:
    rows = chosen(table.rows, _ROWS)
    caption = (
        "Marks are means over seeds, bars their 95 % t intervals (none where the seeds allow none), small rings single "
        "runs; the dashed line stands at the baseline. These intervals leave out that cells share their seeds: whether "
        "two cells differ is told by the paired columns of the table, not by overlap here." + _left_out(table, rows)
    )
    return Drawing(NAMES[0], f"{_metric(table)} by cell", caption, svg(partial(_draw_errors, table, rows), NAMES[0]))


def _draw_errors(table: AblationTable, rows: Sequence[Row]) -> Figure:
    figure, (panel,) = new_figure(6.6, 0.9 + 0.27 * len(rows))
    for at, row in enumerate(rows):
        seeds = [run.value for run in row.runs if run.value is not None]
        panel.plot(seeds, [at + 0.24] * len(seeds), "o", ms=3, mfc="none", mec=MUTED, mew=0.6)
        if row.is_baseline:
            panel.axvline(row.mean or 0.0, color=BASE, lw=0.8, ls=(0, (4, 3)), zorder=0)
    for kind, members in _kinds(rows).items():
        means, halves = _means(rows, members)
        panel.errorbar(means, members, xerr=halves, **_mark(kind))
    panel.set_yticks(range(len(rows)), [_name(row) for row in rows])
    panel.set_ylim(len(rows) - 0.4, -0.6)
    panel.grid(axis="y", visible=False)
    panel.tick_params(axis="y", length=0)
    panel.set_xlabel(_axis(table))
    return figure


def _scatter(table: AblationTable, field: str, label: str) -> Drawing:
    name = f"error_{field}"
    rows = [row for row in table.rows if row.mean is not None and getattr(row, field)]
    every = len(rows) <= _LABELLED
    named = "" if every else " Of so many cells only the baseline and the best are named."
    caption = (
        "Lower and further left is better. Bars are 95 % t intervals; the large blue mark is the lowest mean, "
        f"the square the baseline.{named}"
    )
    drawn = svg(partial(_draw_scatter, table, rows, field, label, every), name)
    return Drawing(name, f"{_metric(table)} against {label}", caption, drawn)


def _draw_scatter(table: AblationTable, rows: Sequence[Row], field: str, label: str, every: bool) -> Figure:
    figure, (panel,) = new_figure(5.4, 3.9)
    costs = [getattr(row, field) for row in rows]
    thousands = min(int(math.log10(max(costs))) // 3, len(_THOUSANDS) - 1)
    xs = [cost / 1000**thousands for cost in costs]
    for kind, members in _kinds(rows).items():
        means, halves = _means(rows, members)
        panel.errorbar([xs[at] for at in members], means, yerr=halves, **_mark(kind))
    panel.set_xlabel(f"{label}{_THOUSANDS[thousands]}")
    panel.set_ylabel(_axis(table))
    panel.margins(x=0.16, y=0.08)
    figure.draw_without_rendering()  # settles the axes, which the labels are placed by
    names = [_name(row) if every or row.is_baseline or row.standing == "best" else "" for row in rows]
    place_labels(panel, [(x, row.mean or 0.0, row.half or 0.0) for x, row in zip(xs, rows, strict=True)], names)
    return figure


def _curves(table: AblationTable, curves: Mapping[str, list[Curve]]) -> Drawing:
    rows = [row for row in table.rows if row.name in curves]
    caption = (
        f"{_metric(table)} over the epochs, one panel per cell: thin lines are runs, the thick line is their mean, the "
        f"dashed line the mean of the baseline.{_left_out(table, rows)}"
    )
    drawn = svg(partial(_draw_curves, table, rows, curves), NAMES[3])
    return Drawing(NAMES[3], "Learning curves", caption, drawn)


def _draw_curves(table: AblationTable, rows: Sequence[Row], curves: Mapping[str, list[Curve]]) -> Figure:
    across = min(4, len(rows))
    down = math.ceil(len(rows) / across)
    figure, panels = new_figure(max(3.4, 2.15 * across), 0.5 + 1.75 * down, down, across)
    baseline = curves.get(table.sweep.baseline)
    for panel, row in zip(panels, rows, strict=False):
        for curve in curves[row.name]:
            panel.plot(list(curve), list(curve.values()), color=ACCENT, lw=0.6, alpha=0.45)
        _plot_mean(panel, curves[row.name], color=ACCENT, lw=1.6)
        if baseline and not row.is_baseline:
            _plot_mean(panel, baseline, color=BASE, lw=1.1, ls=(0, (4, 3)))
        panel.set_title(_name(row), loc="left", color=INK)
    for panel in panels[max(0, len(rows) - across) : len(rows)]:
        panel.tick_params(labelbottom=True)
    for panel in panels[len(rows) :]:
        panel.remove()
    panels[0].xaxis.set_major_locator(MaxNLocator(4, integer=True))
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel(_axis(table), fontsize=9)
    return figure


def _plot_mean(panel: Axes, curves: Sequence[Curve], **how: Any) -> None:
    epochs = sorted({epoch for curve in curves for epoch in curve})
    at = [[curve[epoch] for curve in curves if epoch in curve] for epoch in epochs]
    panel.plot(epochs, [math.fsum(values) / len(values) for values in at], **how)


def _kinds(rows: Sequence[Row]) -> dict[Kind, list[int]]:
    """Which of `rows` are drawn alike, the best and the baseline last and so on top."""
    kinds: dict[Kind, list[int]] = {}
    for at, row in enumerate(rows):
        kinds.setdefault((row.standing == "best", row.is_baseline), []).append(at)
    return dict(sorted(kinds.items()))


def _means(rows: Sequence[Row], members: Sequence[int]) -> tuple[list[float], list[float]]:
    """Means and half widths, NaN where there is none."""
    numbers = [(rows[at].mean, rows[at].half) for at in members]
    means, halves = ([math.nan if number is None else number for number in line] for line in zip(*numbers, strict=True))
    return means, halves


def _mark(kind: Kind) -> dict[str, Any]:
    """How means are drawn: a kind shows by shape and size as well as by colour."""
    best, baseline = kind
    colour = ACCENT if best else BASE if baseline else INK
    shape, size = ("s" if baseline else "o"), (6.5 if best else 5.5 if baseline else 4.5)
    return {"fmt": shape, "ms": size, "mfc": colour, "mec": PAPER, "mew": 0.6, "ecolor": colour, "elinewidth": 1.1}


def _metric(table: AblationTable) -> str:
    return metric_name(table.sweep.metric).capitalize()


def _axis(table: AblationTable) -> str:
    unit = metric_unit(table.sweep.metric)
    return metric_name(table.sweep.metric) + (f", {unit}" if unit else "")


def _name(row: Row) -> str:
    name = clean(row.name)
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"


def _left_out(table: AblationTable, rows: Sequence[Row]) -> str:
    done = sum(row.mean is not None for row in table.rows)
    return f" Shown are {len(rows)} of {done} cells: the baseline and the lowest means." if len(rows) < done else ""
