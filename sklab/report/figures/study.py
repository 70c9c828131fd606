"""The figures of a study: error per cell, error against cost, learning curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.figures import attention
from sklab.report.figures.evidence import power_figure, sequential_figure
from sklab.report.figures.matched import effect_figures, question_figure
from sklab.report.figures.scatter import LATENCY, MACS, PARAMS, cost_figure
from sklab.report.figures.style import (
    ACCENT,
    BASE,
    INK,
    MUTED,
    SINGLE,
    Drawing,
    better_side,
    cut_remark,
    drawing,
    kinds,
    mark,
    means,
    metric_axis,
    metric_title,
    name_lines,
    new_figure,
    panel_grid,
    short_name,
)
from sklab.report.numbers import limits
from sklab.report.run_files import Curve, chosen

NAMES = (
    "error",
    "questions",
    "effects",
    "interactions",
    "error_params",
    "error_macs",
    "error_latency_ms",
    "curves",
    "power",
    *attention.NAMES,
)
_ROWS = 40  # cells in the figure of errors


def draw(table: AblationTable, curves: Mapping[str, list[Curve]]) -> list[Drawing]:
    """The figures for which there are numbers, in the order of NAMES; last the looks, where seeds were added."""
    if table.best is None:
        return []
    costs = [figure for axis in (PARAMS, MACS, LATENCY) if (figure := cost_figure(table, axis))]
    power = power_figure(table)
    learning = [learning_curves(table, curves)] if curves else []
    return [
        _errors(table),
        *question_figure(table),
        *effect_figures(table),
        *costs,
        *learning,
        *([power] if power else []),
        *sequential_figure(table),
    ]


def _errors(table: AblationTable) -> Drawing:
    rows = chosen(table.rows, _ROWS)
    caption = (
        f"Further {better_side(table).lower()} is better. Marks are means over seeds, bars their 95 % t intervals "
        "(none where the seeds allow none), small rings single runs; the dashed line stands at the baseline. Overlap "
        "does not show whether two cells differ, because cells share their seeds: the table's columns against the "
        f"baseline do.{cut_remark(rows, limits(table.sweep.metric))}{_left_out(table, rows)}"
    )
    return drawing("error", f"{metric_title(table)} by cell", caption, partial(_draw_errors, table, rows), single=True)


def _draw_errors(table: AblationTable, rows: Sequence[Row]) -> Figure:
    figure, (panel,) = new_figure(SINGLE, 0.9 + 0.3 * len(rows))
    for at, row in enumerate(rows):
        seeds = [run.value for run in row.runs if run.value is not None]
        panel.plot(seeds, [at + 0.24] * len(seeds), "o", ms=3, mfc="none", mec=MUTED, mew=0.6)
        if row.is_baseline:
            panel.axvline(row.mean or 0.0, color=BASE, lw=0.8, ls=(0, (4, 3)), zorder=0)
    for kind, members in kinds(rows).items():
        middles, halves = means(rows, members, limits(table.sweep.metric))
        panel.errorbar(middles, members, xerr=halves, **mark(kind))
    name_lines(panel, [row.name for row in rows])
    panel.set_xlabel(metric_axis(table))
    return figure


def learning_curves(table: AblationTable, curves: Mapping[str, list[Curve]]) -> Drawing:
    """The metric over the epochs, a panel for each cell of `curves`."""
    rows = [row for row in table.rows if row.name in curves]
    caption = (
        f"{metric_title(table)} over the epochs, one panel per cell: thin lines are runs, the thick line is their "
        "mean, the dashed line the mean of the baseline. See whether a cell has stopped improving by the last epoch, "
        f"and whether its runs agree.{_left_out(table, rows)}"
    )
    return drawing("curves", "Learning curves", caption, partial(_draw_curves, table, rows, curves))


def _draw_curves(table: AblationTable, rows: Sequence[Row], curves: Mapping[str, list[Curve]]) -> Figure:
    figure, panels = panel_grid(len(rows))
    baseline = curves.get(table.sweep.baseline)
    for panel, row in zip(panels, rows, strict=True):
        for curve in curves[row.name]:
            alone = "o" if len(curve) == 1 else ""
            panel.plot(list(curve), list(curve.values()), alone + "-", ms=2.5, color=ACCENT, lw=0.6, alpha=0.45)
        _plot_mean(panel, curves[row.name], color=ACCENT, lw=1.6)
        if baseline and not row.is_baseline:
            _plot_mean(panel, baseline, color=BASE, lw=1.1, ls=(0, (4, 3)))
        panel.set_title(short_name(row.name), loc="left", color=INK)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel(metric_axis(table), fontsize=9)
    return figure


def _plot_mean(panel: Axes, curves: Sequence[Curve], **how: Any) -> None:
    epochs = sorted({epoch for curve in curves for epoch in curve})
    by_epoch = [[curve[epoch] for curve in curves if epoch in curve] for epoch in epochs]
    panel.plot(epochs, [math.fsum(values) / len(values) for values in by_epoch], **how)


def _left_out(table: AblationTable, rows: Sequence[Row]) -> str:
    done = sum(row.mean is not None for row in table.rows)
    return (
        f" Shown are {len(rows)} of {done} cells: the baseline and the {table.sweep.metric.measure.best} means."
        if len(rows) < done
        else ""
    )
