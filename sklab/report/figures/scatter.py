"""The figures of error against cost, with the published figures of the literature in grey."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sklab.analysis.choice.pareto import SEVERALFOLD
from sklab.analysis.table.published import on_published_data
from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.escape import clean
from sklab.report.figures.labels import Label, place_labels
from sklab.report.figures.style import (
    INK,
    MUTED,
    PAPER,
    SINGLE,
    Drawing,
    Kind,
    cut_remark,
    drawing,
    kinds,
    mark,
    means,
    metric_axis,
    metric_title,
    new_figure,
    short_name,
)
from sklab.report.numbers import DAGGER, DOUBLE_DAGGER, ERRORS, Limits, limits
from sklab.spec.study.metrics import TOP1_ERROR
from sklab.spec.study.sweep import Published

_LABELLED = 16  # cells with a name in a panel
_HEIGHT = 3.9  # of a panel, inches
_THOUSANDS = ("", ", thousands", ", millions", ", billions", ", trillions")


@dataclass(frozen=True)
class Axis:
    """A cost: the name of its field in our rows, that in published figures (None: there is none), whose values are in
    units of `unit`, and its name in words."""

    field: str
    published: str | None
    unit: float
    label: str


PARAMS = Axis("params", "params", 1e6, "parameters")
MACS = Axis("macs", "gmacs", 1e9, "multiply-accumulates")
LATENCY = Axis("latency_ms", None, 1.0, "latency of one image, ms")


@dataclass(frozen=True)
class Point:
    """A published figure at its cost. `name` ends in a dagger where it is not verified."""

    cell: str
    name: str
    cost: float
    error: float


@dataclass(frozen=True)
class Panel:
    """A panel with cells, published figures or both."""

    rows: Sequence[Row]
    points: Sequence[Point]
    title: str
    label: str
    within: Limits = ERRORS


def cost_figure(table: AblationTable, axis: Axis) -> Drawing | None:
    """The figure of error against a cost; None for fewer than two cells with a result, or where all have the same
    cost."""
    rows = [row for row in table.rows if row.mean is not None and getattr(row, axis.field)]
    if len({getattr(row, axis.field) for row in rows}) < 2:
        return None
    points = _points(table.sweep.published, axis)
    panels = _panels(table, rows, points)
    literature = _published_caption(table.sweep.published, points, together=len(panels) == 1)
    caption = (
        _caption(table, rows) + cut_remark(rows, limits(table.sweep.metric)) + _range_caption(rows, axis) + literature
    )
    title = f"{metric_title(table)} against {axis.label}"
    return drawing(f"error_{axis.field}", title, caption, partial(_draw, panels, axis), single=True)


def _points(published: Published | None, axis: Axis) -> list[Point]:
    """The published figures whose cost is published too: first those of cells, then those of other networks."""
    if axis.published is None:
        return []
    figures = {**published.rows, **published.others} if published else {}
    costs = {name: getattr(figure, axis.published) for name, figure in figures.items()}
    return [
        Point(name, _published_name(name, verified=figure.verified), costs[name] * axis.unit, figure.error)
        for name, figure in figures.items()
        if costs[name] is not None
    ]


def _published_name(name: str, *, verified: bool) -> str:
    return short_name(name) + ("" if verified else DAGGER)


def _panels(table: AblationTable, rows: Sequence[Row], points: Sequence[Point]) -> list[Panel]:
    """One panel where the published error is measured on the same data as ours; else one panel for each."""
    published, label, within = table.sweep.published, metric_axis(table), limits(table.sweep.metric)
    if published is None or not points:
        return [Panel(rows, (), "", label, within)]
    if table.sweep.metric.name == TOP1_ERROR and on_published_data(table.sweep):
        return [Panel(rows, points, "grey: published", label)]
    title = f"published, on {clean(published.data)}"
    return [Panel(rows, (), "trained here", label, within), Panel((), points, title, "published error, %")]


def _caption(table: AblationTable, rows: Sequence[Row]) -> str:
    named = "" if len(rows) <= _LABELLED else " Of so many cells only the baseline and the best are named."
    measure = table.sweep.metric.measure
    return (
        f"{measure.better.capitalize()} and further left is better. Bars are 95 % t intervals; the large blue mark is "
        f"the {measure.best} mean, the square the baseline.{named}"
    )


def _range_caption(rows: Sequence[Row], axis: Axis) -> str:
    if axis is not LATENCY:
        return ""
    ranges = (
        " Level bars go from the fastest run to the slowest; where two overlap, neither cell is shown to be faster."
    )
    factor = f"differ by a factor of {SEVERALFOLD} or more, so that latency decides nothing there"
    unsteady = f" Open marks with {DOUBLE_DAGGER}: the runs {factor}."
    return ranges + (unsteady if any(row.latency_unsteady for row in rows) else "")


def _published_caption(published: Published | None, points: Sequence[Point], *, together: bool) -> str:
    if published is None or not points:
        return ""
    source, data = clean(published.source), clean(published.data)
    where = (
        f" Grey rings are published figures ({source}); a thin line leads to the cell of the same name."
        if together
        else f" The lower panel shows published figures ({source}; on {data}) on axes of their own: their level is not "
        "that of the panel above."
    )
    every = all(point.name == short_name(point.cell) for point in points)
    return where + ("" if every else f" {DAGGER} transcribed, not verified: check before citing.")


def _draw(panels: Sequence[Panel], axis: Axis) -> Figure:
    figure, axes = new_figure(SINGLE, _HEIGHT * len(panels), len(panels), shared="none")
    labels = [_draw_panel(ours, panel, axis) for ours, panel in zip(axes, panels, strict=True)]
    figure.draw_without_rendering()  # fixes the axes, on which the places of the labels depend
    for ours, panel_labels in zip(axes, labels, strict=True):
        place_labels(ours, panel_labels)
    return figure


def _draw_panel(axes: Axes, panel: Panel, axis: Axis) -> list[Label]:
    """Draw the marks; returns the labels that are to be placed beside them."""
    costs = [getattr(row, axis.field) for row in panel.rows]
    largest = max([*costs, *(point.cost for point in panel.points), 1.0])
    thousands = min(int(math.log10(largest)) // 3, len(_THOUSANDS) - 1)
    scale = 1000**thousands
    _draw_points(axes, panel, axis, scale)
    for kind, members in kinds(panel.rows).items():
        for at in members:
            _draw_mark(axes, panel.rows[at], axis, scale, kind, panel.within)
    axes.set_xlabel(f"{axis.label}{_THOUSANDS[thousands]}")
    axes.set_ylabel(panel.label)
    axes.set_title(panel.title, loc="left", color=MUTED)
    axes.margins(x=0.16, y=0.08)
    return [*_row_labels(panel.rows, axis, scale), *_point_labels(panel, scale)]


def _draw_mark(axes: Axes, row: Row, axis: Axis, scale: float, kind: Kind, within: Limits) -> None:
    cost, style = getattr(row, axis.field) / scale, mark(kind)
    middles, halves = means([row], [0], within)
    span = _span(row, axis, scale)
    level = None if span is None else [[cost - span[0]], [span[1] - cost]]
    if _unsteady(row, axis):
        style |= {"mfc": PAPER, "mec": style["ecolor"], "mew": 1.1}
    axes.errorbar([cost], middles, yerr=halves, xerr=level, **style)


def _span(row: Row, axis: Axis, scale: float) -> tuple[float, float] | None:
    """The lowest and the highest cost among the runs of a row; None for a cost that does not vary."""
    if axis is not LATENCY or row.latency_range is None:
        return None
    return row.latency_range[0] / scale, row.latency_range[1] / scale


def _unsteady(row: Row, axis: Axis) -> bool:
    return axis is LATENCY and row.latency_unsteady


def _draw_points(axes: Axes, panel: Panel, axis: Axis, scale: float) -> None:
    ours = {row.name: row for row in panel.rows}
    for point in panel.points:
        if point.cell in ours:
            costs = [point.cost / scale, getattr(ours[point.cell], axis.field) / scale]
            axes.plot(costs, [point.error, ours[point.cell].mean or 0.0], color=MUTED, lw=0.5, zorder=1)
    costs = [point.cost / scale for point in panel.points]
    axes.plot(costs, [point.error for point in panel.points], "o", ms=4.2, mfc=PAPER, mec=MUTED, mew=0.9, zorder=1.5)


def _row_labels(rows: Sequence[Row], axis: Axis, scale: float) -> list[Label]:
    every = len(rows) <= _LABELLED
    return [
        Label(
            _row_name(row, axis) if every or row.is_baseline or row.standing == "best" else "",
            getattr(row, axis.field) / scale,
            row.mean or 0.0,
            row.half or 0.0,
            INK,
            _span(row, axis, scale),
        )
        for row in rows
    ]


def _row_name(row: Row, axis: Axis) -> str:
    return short_name(row.name) + (DOUBLE_DAGGER if _unsteady(row, axis) else "")


def _point_labels(panel: Panel, scale: float) -> list[Label]:
    """Labels with the names of the published figures; with the dagger alone, where the cell of that name is in the
    panel."""
    ours = {row.name for row in panel.rows}
    return [
        Label(
            point.name.removeprefix(short_name(point.cell)) if point.cell in ours else point.name,
            point.cost / scale,
            point.error,
            0.0,
            MUTED,
        )
        for point in panel.points
    ]
