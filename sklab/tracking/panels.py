"""The panels of a study in W&B: what a workspace shows in its sections, and a W&B report beside its run table."""

from __future__ import annotations

import wandb_workspaces.reports.v2 as wr

from sklab.report.columns import metric_name, metric_unit
from sklab.report.escape import clean
from sklab.spec.study.sweep import Metric, Sweep
from sklab.tracking.summary import ATTENTION, FIGURES

CELL = wr.Metric("JobType")  # what a run's job type is
_MOST_LINES = 100  # of a chart: runs, or cells where they are grouped


def errors(metric: Metric) -> wr.BarPlot:
    """The metric by cell, at the last epoch that W&B has."""
    return wr.BarPlot(
        title=f"{_axis(metric)} by cell: mean ± standard error over seeds, last epoch",
        metrics=[wr.SummaryMetric(metric.name)],
        groupby=CELL,
        groupby_aggfunc="mean",
        groupby_rangefunc="stderr",
        max_bars_to_show=_MOST_LINES,
    )


def curves(metric: Metric) -> list[wr.LinePlot]:
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
        for key, name in ((metric.name, _axis(metric)), ("train_loss", "training loss"))
    ]


def factors(sweep: Sweep) -> wr.ParallelCoordinatesPlot:
    """A line per run, through its levels to its error."""
    levels = [
        wr.ParallelCoordinatesPlotColumn(wr.Config(f"factors.{name}"), display_name=clean(name))
        for name in sweep.columns
    ]
    result = wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric(sweep.metric.name), display_name=_axis(sweep.metric))
    return wr.ParallelCoordinatesPlot(title="Factors and result, a line per run", columns=[*levels, result])


def attention() -> wr.CustomChart:
    """The expected kernel of every SK unit, from the summary run's table."""
    return wr.CustomChart(
        query={"summaryTable": {"tableKey": ATTENTION}},
        chart_name="wandb/bar/v0",
        chart_fields={"label": "cell and unit", "value": "kernel"},
        chart_strings={"title": "Expected kernel (pixels) by cell and SK unit, mean over seeds"},
    )


def figure(name: str) -> wr.MediaBrowser:
    """A figure of our report, from the summary run."""
    return wr.MediaBrowser(media_keys=[f"{FIGURES}/{name}"], num_columns=1)


def table() -> wr.WeavePanelSummaryTable:
    """The ablation table, from the summary run."""
    return wr.WeavePanelSummaryTable(table_name="table")


def run_columns(sweep: Sweep) -> list[str]:
    """The columns of the run table."""
    levels = [f"config:factors.value.{name}" for name in sweep.columns]
    results = [f"summary:{name}" for name in dict.fromkeys((sweep.metric.name, "val_loss", "train_loss", "epoch"))]
    return ["run:displayName", "run:jobType", "config:seed.value", *levels, *results, "run:state", "config:key.value"]


def _axis(metric: Metric) -> str:
    unit = metric_unit(metric)
    return f"{metric_name(metric)}{unit and f' ({unit})'}"
