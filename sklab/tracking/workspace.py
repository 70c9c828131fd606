"""A study as a W&B workspace, and its report as a W&B report."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from sklab.spec.study.sweep import Sweep
from sklab.tracking import panels
from sklab.tracking.summary import Place

_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_FIGURE = re.compile(r"^!\[.*\]\(figures/(.+)\.svg\)$", re.MULTILINE)
_LINK = re.compile(r"(?<![!\\])\[((?:\\.|[^\]\\])*)\]\((?!https?:)[^)]*\)")  # to a file beside the report


def workspace(sweep: Sweep, place: Place, markdown: str, *, attention: bool) -> ws.Workspace:
    """The workspace of `sweep`, with the figures that its `report.md` shows; `attention`: whether any was logged."""
    return ws.Workspace(
        entity=place.entity,
        project=place.project,
        name=sweep.study,
        sections=list(_sections(sweep, _FIGURE.findall(markdown), attention=attention)),
        runset_settings=ws.RunsetSettings(
            filters=ws.And(*_without_failures(sweep)),
            order=[ws.Ordering(ws.Summary(sweep.metric.name), ascending=True)],
            pinned_columns=panels.run_columns(sweep),
        ),
    )


def _sections(sweep: Sweep, figures: Sequence[str], *, attention: bool) -> Iterator[ws.Section]:
    """What W&B draws from the runs, each beside the figures of ours that are named alike."""
    own: dict[str, list[ws.PanelTypes]] = {
        "error": [panels.errors(sweep.metric)],
        "curves": [*panels.curves(sweep.metric)],
        "attention": [panels.attention()] if attention else [],
    }
    drawn: dict[str, list[ws.PanelTypes]] = {kind: [] for kind in (*own, "further")}
    for name in figures:
        drawn[next((kind for kind in own if name.startswith(kind)), "further")].append(panels.figure(name))
    yield _section("Error by cell", [*drawn["error"][:1], *own["error"], *drawn["error"][1:]], 2)
    yield _section("Learning curves by cell", [*own["curves"], *drawn["curves"]], 2)
    yield _section("Factors", [panels.factors(sweep)], 1)
    yield from _unless_empty("Attention by unit", [*own["attention"], *drawn["attention"]])
    yield _section("Table", [panels.table()], 1)
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
    blocks: list[wr.interface.BlockTypes] = [_text(head.split("\n", 1)[1])]
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
    panel = panels.figure(name)
    panel.layout = wr.Layout(w=24, h=14)
    runs = _runset(sweep, place, [ws.Metric("ID") == place.summary])
    return wr.PanelGrid(runsets=[runs], panels=[panel], hide_run_sets=True)


def _runs(sweep: Sweep, place: Place) -> wr.PanelGrid:
    shown = [*panels.curves(sweep.metric), panels.factors(sweep)]
    for at, panel in enumerate(shown):
        panel.layout = wr.Layout(x=8 * at, w=8, h=8)
    filters = [*_without_failures(sweep), ws.Metric("JobType") != "summary"]
    runs = _runset(sweep, place, filters, panels.run_columns(sweep))
    return wr.PanelGrid(runsets=[runs], panels=[*shown])


def _without_failures(sweep: Sweep) -> list[ws.FilterExpr]:
    """The study's runs, without those whose last value is not of their last epoch: they would enter the means."""
    return [ws.Metric("Group") == sweep.study, *(ws.Metric("State") != state for state in ("failed", "crashed"))]


def _runset(sweep: Sweep, place: Place, filters: Sequence[ws.FilterExpr], columns: Sequence[str] = ()) -> wr.Runset:
    """Without an entity, as when nothing may be asked of the server, the runs are those of the report's own project."""
    where = {"entity": place.entity, "project": place.project} if place.entity else {}
    shown = {"visible_columns": list(columns), "lock_columns": bool(columns) or None}
    return wr.Runset(**where, **shown, name=sweep.study, filters=ws.And(*filters))
