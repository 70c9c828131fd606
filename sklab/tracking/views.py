"""A study as a W&B workspace, and its report as a W&B report beside its run table: sections and their panels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from sklab.report.escape import clean
from sklab.spec.study.sweep import Metric, Sweep
from sklab.tracking.summary import ATTENTION, FIGURES, Place

_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_FIGURE = re.compile(r"^!\[.*\]\(figures/(.+)\.svg\)$", re.MULTILINE)
_LINK = re.compile(r"(?<![!\\])\[((?:\\.|[^\]\\])*)\]\((?!https?:)[^)]*\)")  # to a file beside the report
CELL = wr.Metric("JobType")  # what a run's job type is
_MOST_LINES = 100  # of a chart: runs, or cells where they are grouped


def workspace(sweep: Sweep, place: Place, markdown: str, *, attention: bool) -> ws.Workspace:
    """The workspace of `sweep`, with the figures that its `report.md` shows; `attention`: whether any was logged."""
    return ws.Workspace(
        entity=place.entity,
        project=place.project,
        name=sweep.study,
        sections=list(_sections(sweep, _FIGURE.findall(markdown), attention=attention)),
        runset_settings=ws.RunsetSettings(
            filters=ws.And(*_without_failures(place)),
            order=[ws.Ordering(ws.Summary(sweep.metric.name), ascending=sweep.metric.measure.better == "lower")],
            pinned_columns=run_columns(sweep),
        ),
    )


def _sections(sweep: Sweep, figures: Sequence[str], *, attention: bool) -> Iterator[ws.Section]:
    """The panels that W&B draws from the runs, each beside our figures of the same kind."""
    own: dict[str, list[ws.PanelTypes]] = {
        "error": [errors_panel(sweep.metric)],
        "curves": [*curves_panel(sweep.metric)],
        "attention": [attention_panel()] if attention else [],
    }
    drawn: dict[str, list[ws.PanelTypes]] = {kind: [] for kind in (*own, "further")}
    for name in figures:
        drawn[next((kind for kind in own if name.startswith(kind)), "further")].append(figure_panel(name))
    yield _section(
        f"{_capital(sweep.metric.measure.noun)} by cell", [*drawn["error"][:1], *own["error"], *drawn["error"][1:]], 2
    )
    yield _section("Learning curves by cell", [*own["curves"], *drawn["curves"]], 2)
    yield _section("Factors", [factors_panel(sweep)], 1)
    yield from _unless_empty("Attention by unit", [*own["attention"], *drawn["attention"]])
    yield _section("Table", [table_panel()], 1)
    yield from _unless_empty("Further figures", drawn["further"])


def _unless_empty(name: str, shown: Sequence[ws.PanelTypes]) -> Iterator[ws.Section]:
    if shown:
        yield _section(name, shown, 2)


def _section(name: str, shown: Sequence[ws.PanelTypes], columns: int) -> ws.Section:
    layout = ws.SectionLayoutSettings(columns=columns, rows=1)
    return ws.Section(name=name, panels=list(shown), is_open=True, layout_settings=layout)


def report(sweep: Sweep, place: Place, markdown: str) -> wr.Report:
    """The study's `report.md` as a W&B report: its words and table as they are, figures from the summary run, and in
    place of its list of runs the run table, with the panels of the runs."""
    head, *parts = _SECTION.split(markdown)
    blocks = _mixed(sweep, place, head.split("\n", 1)[1])
    for title, body in zip(parts[::2], parts[1::2], strict=True):
        blocks.append(wr.H2(title))
        blocks += [_runs(sweep, place)] if title == "Runs" else _mixed(sweep, place, body)
    return wr.Report(project=place.project, entity=place.entity, title=sweep.study, blocks=blocks, width="fluid")


def _mixed(sweep: Sweep, place: Place, body: str) -> list[wr.interface.BlockTypes]:
    """Words, and the figures between them."""
    parts = _FIGURE.split(body)
    shown = [_figure(sweep, place, part) if at % 2 else _text(part) for at, part in enumerate(parts) if part.strip()]
    return [*shown]


def _text(markdown: str) -> wr.MarkdownBlock:
    return wr.MarkdownBlock(_LINK.sub(r"\1", markdown).strip())


def _figure(sweep: Sweep, place: Place, name: str) -> wr.PanelGrid:
    panel = figure_panel(name)
    panel.layout = wr.Layout(w=24, h=14)
    runs = _runset(sweep, place, [ws.Metric("ID") == place.summary])
    return wr.PanelGrid(runsets=[runs], panels=[panel], hide_run_sets=True)


def _runs(sweep: Sweep, place: Place) -> wr.PanelGrid:
    shown = [*curves_panel(sweep.metric), factors_panel(sweep)]
    for at, panel in enumerate(shown):
        panel.layout = wr.Layout(x=8 * at, w=8, h=8)
    filters = [*_without_failures(place), ws.Metric("JobType") != "summary"]
    runs = _runset(sweep, place, filters, run_columns(sweep))
    return wr.PanelGrid(runsets=[runs], panels=[*shown])


def _without_failures(place: Place) -> list[ws.FilterExpr]:
    """The study's runs, without those whose last value is not of their last epoch: they would enter the means."""
    return [ws.Metric("Group") == place.group, *(ws.Metric("State") != state for state in ("failed", "crashed"))]


def _runset(sweep: Sweep, place: Place, filters: Sequence[ws.FilterExpr], columns: Sequence[str] = ()) -> wr.Runset:
    """The runs to show; without an entity (nothing may be asked of the server), the runs of the report's project."""
    where = {"entity": place.entity, "project": place.project} if place.entity else {}
    shown = {"visible_columns": list(columns), "lock_columns": bool(columns) or None}
    return wr.Runset(**where, **shown, name=sweep.study, filters=ws.And(*filters))


def errors_panel(metric: Metric) -> wr.BarPlot:
    """The metric by cell, at the last epoch that W&B has."""
    return wr.BarPlot(
        title=f"{metric.measure.heading} by cell: mean ± standard error over seeds, last epoch",
        metrics=[wr.SummaryMetric(metric.name)],
        groupby=CELL,
        groupby_aggfunc="mean",
        groupby_rangefunc="stderr",
        max_bars_to_show=_MOST_LINES,
    )


def curves_panel(metric: Metric) -> list[wr.LinePlot]:
    """The metric and the training loss over the epochs, a line per cell with its spread over seeds."""
    return [
        wr.LinePlot(
            title=f"{name}: mean over seeds, least to most",
            x="epoch",
            y=[key],
            groupby=CELL,
            groupby_aggfunc="mean",
            groupby_rangefunc="minmax",
            max_runs_to_show=_MOST_LINES,
        )
        for key, name in ((metric.name, metric.measure.heading), ("train_loss", "training loss"))
    ]


def factors_panel(sweep: Sweep) -> wr.ParallelCoordinatesPlot:
    """A line per run, through its levels to its error."""
    levels = [
        wr.ParallelCoordinatesPlotColumn(wr.Config(f"factors.{name}"), display_name=clean(name))
        for name in sweep.columns
    ]
    result = wr.ParallelCoordinatesPlotColumn(
        wr.SummaryMetric(sweep.metric.name), display_name=sweep.metric.measure.heading
    )
    return wr.ParallelCoordinatesPlot(title="Factors and result, a line per run", columns=[*levels, result])


def attention_panel() -> wr.CustomChart:
    """The expected kernel of every SK unit, from the summary run's table."""
    return wr.CustomChart(
        query={"summaryTable": {"tableKey": ATTENTION}},
        chart_name="wandb/bar/v0",
        chart_fields={"label": "cell and unit", "value": "kernel"},
        chart_strings={"title": "Expected kernel (pixels) by cell and SK unit, mean over seeds"},
    )


def figure_panel(name: str) -> wr.MediaBrowser:
    """A figure of our report, from the summary run."""
    return wr.MediaBrowser(media_keys=[f"{FIGURES}/{name}"], num_columns=1)


def table_panel() -> wr.WeavePanelSummaryTable:
    """The ablation table, from the summary run."""
    return wr.WeavePanelSummaryTable(table_name="table")


def run_columns(sweep: Sweep) -> list[str]:
    """The columns of the run table."""
    levels = [f"config:factors.value.{name}" for name in sweep.columns]
    results = [f"summary:{name}" for name in dict.fromkeys((sweep.metric.name, "val_loss", "train_loss", "epoch"))]
    return ["run:displayName", "run:jobType", "config:seed.value", *levels, *results, "run:state", "config:key.value"]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
