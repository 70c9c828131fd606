"""The figures and tables of attention and of receptive fields, from what runs and `sklab analyze` recorded."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sklab.analysis.attention.analyses import CellFindings
from sklab.analysis.attention.cells import (
    AttentionResults,
    CellAttention,
    by_size,
    read_attention_results,
    slopes,
)
from sklab.analysis.attention.trends import Trend
from sklab.analysis.table.rows import AblationTable
from sklab.report.escape import clean
from sklab.report.figures.channels import NAME, channels_figure
from sklab.report.figures.classes import classes_figure
from sklab.report.figures.style import (
    ACCENT,
    BASE,
    GRID,
    INK,
    PAPER,
    SINGLE,
    SMALL,
    Drawing,
    drawing,
    new_figure,
    short_name,
)
from sklab.report.numbers import fixed, p_text, signed
from sklab.report.run_files import chosen
from sklab.store.study_folder import StudyFolder

_CELLS = 6  # with a panel
_SERIES = ((BASE, "s", "--"), (ACCENT, "o", "-"))
TREND_HEAD = ("cell", "unit", "slope against", "n", "slope", "±95%", "verdict")
FIELD_HEAD = ("cell", "stage", "n", "side (px)", "±95%", "theoretical (px)", "minus baseline", "±95%", "p")
_READ = 40  # cells whose records are read
NAMES = ("attention_sizes", "attention_slopes", NAME, "attention_classes", "receptive_fields")

Rows = list[tuple[str, ...]]


def read(folder: Path, table: AblationTable) -> AttentionResults:
    """The attention that the complete runs of the study in `folder` recorded. Of many cells, only that of the baseline
    and of the best means."""
    study = StudyFolder(folder)
    runs = {
        row.name: [study.run(run.key) for run in row.runs if run.state == "complete"]
        for row in chosen(table.rows, _READ)
    }
    return read_attention_results(runs, table.sweep.baseline)


def attention_figures(results: AttentionResults) -> list[Drawing]:
    """The figures for which there are records."""
    cells = results.cells[:_CELLS]
    left_out = f" Shown are {len(cells)} of {len(results.cells)} cells." if len(cells) < len(results.cells) else ""
    sloped = [cell for cell in cells if slopes(cell)[0]]
    fields = [findings for findings in results.findings if findings.fields]
    return [
        *([_sizes(cells, left_out)] if cells else []),
        *([_slopes(sloped, left_out)] if sloped else []),
        *(channels_figure(results.cells, _measure(cells)) if cells else []),
        *(classes_figure(cells, _measure(cells)) if cells else []),
        *([_fields(fields)] if fields else []),
    ]


def trend_rows(results: AttentionResults) -> Rows:
    """A row of text for each SK unit of each cell, in the columns of TREND_HEAD."""
    return [
        (clean(cell.cell), clean(trend.unit), against, str(trend.n), signed(slope, 4), fixed(half, 4), trend.verdict)
        for cell in results.cells
        for trends, against in (slopes(cell),)
        for trend in trends
        for slope, half in (_slope(cell, trend),)
    ]


def field_rows(results: AttentionResults) -> Rows:
    """A row of text for each stage of each analysed cell, in the columns of FIELD_HEAD."""
    return [
        (
            clean(findings.cell), clean(field.stage), str(field.n), fixed(field.side, 1), fixed(field.half, 1),
            str(field.theoretical), signed(field.difference, 1), fixed(field.difference_half, 1),
            "–" if field.difference_p is None else p_text(field.difference_p),
        )
        for findings in results.findings
        for field in findings.fields
    ]  # fmt: skip


def _slope(cell: CellAttention, trend: Trend) -> tuple[float | None, float | None]:
    of_difference = cell.measure == "difference"
    return (trend.difference, trend.difference_half) if of_difference else (trend.kernel, trend.kernel_half)


def _measure(cells: Sequence[CellAttention]) -> str:
    return "attention, large minus small kernel" if cells[0].measure == "difference" else "expected kernel, px"


def _sizes(cells: Sequence[CellAttention], left_out: str) -> Drawing:
    caption = (
        "One panel per cell, SK units from the first to the last: dashed for small objects, solid for large ones, with "
        "95 % intervals over seeds. Higher means that the large kernel gets more of the attention. Where the solid "
        "line lies above the dashed one, the unit turns to the large kernel as objects grow." + left_out
    )
    return drawing(
        "attention_sizes", "Attention per SK unit, small against large objects", caption, partial(_draw_sizes, cells)
    )


def _draw_sizes(cells: Sequence[CellAttention]) -> Figure:
    figure, panels = _panels(len(cells), 4.6, 2.5)
    for panel, cell in zip(panels, cells, strict=False):
        sizes = by_size(cell)
        lines = _SERIES if len(sizes.series) > 1 else _SERIES[1:]
        for at, (label, (means, halves)) in enumerate(sizes.series.items()):
            _line(panel, means.tolist(), halves.tolist(), label, lines[at], aside=0.12 * at)
        _units(panel, sizes.units)
        panel.set_title(short_name(cell.cell), loc="left", color=INK)
        panel.legend(fontsize=SMALL, frameon=False, labelcolor=INK, handlelength=2.6)
    figure.supylabel(_measure(cells), fontsize=9)
    return figure


def _slopes(cells: Sequence[CellAttention], left_out: str) -> Drawing:
    against = " and ".join(dict.fromkeys(slopes(cell)[1] for cell in cells))
    caption = (
        f"Slope against the {against} of objects, with its 95 % interval over seeds, SK units from the first to the "
        "last. Filled marks: attention rises or falls with scale, the interval does not hold zero. Open marks: flat "
        "where the whole interval lies in the grey band, too little to matter, otherwise undecided." + left_out
    )
    return drawing("attention_slopes", "Attention against the scale of objects", caption, partial(_draw_slopes, cells))


def _draw_slopes(cells: Sequence[CellAttention]) -> Figure:
    figure, panels = _panels(len(cells), 4.6, 2.5)
    for panel, cell in zip(panels, cells, strict=False):
        trends = slopes(cell)[0]
        estimates = [_slope(cell, trend) for trend in trends]
        margin = 0.02 if cell.measure == "difference" else max(trend.margin for trend in trends)
        panel.axhspan(-margin, margin, color=GRID, zorder=0, lw=0)
        for at, (trend, (slope, half)) in enumerate(zip(trends, estimates, strict=True)):
            follows = trend.verdict in ("rises", "falls")
            panel.errorbar(
                [at], [slope or 0.0], yerr=None if half is None else [half], fmt="o", ms=5.5, color=ACCENT,
                mfc=ACCENT if follows else PAPER, mec=ACCENT, elinewidth=1.1,
            )  # fmt: skip
        _units(panel, [trend.unit for trend in trends])
        panel.set_title(short_name(cell.cell), loc="left", color=INK)
    figure.supylabel(f"slope of {_measure(cells)}", fontsize=9)
    return figure


def _fields(findings: Sequence[CellFindings]) -> Drawing:
    shown = findings[:_CELLS]
    caption = (
        "Side of the effective receptive field (root of its area) of each stage with its 95 % interval over seeds, a "
        "line per cell; grey bars are the sides that the convolutions allow, of the first cell, cut where they leave "
        "the figure. Higher sees more of the image; a field far below its bar uses little of what it could."
    ) + (f" Shown are {len(shown)} of {len(findings)} cells." if len(shown) < len(findings) else "")
    return drawing(
        "receptive_fields",
        "Effective receptive field of each stage",
        caption,
        partial(_draw_fields, shown),
        single=True,
    )


def _draw_fields(findings: Sequence[CellFindings]) -> Figure:
    figure, (panel,) = new_figure(SINGLE, 3.4)
    stages = [field.stage for field in findings[0].fields]
    largest = max(field.side + (field.half or 0.0) for cell in findings for field in cell.fields)
    panel.bar(range(len(stages)), [field.theoretical for field in findings[0].fields], width=0.7, color=GRID, zorder=0)
    styles = [
        (colour, shape, dashes) for dashes in ("-", ":") for colour, shape in ((ACCENT, "o"), (BASE, "s"), (INK, "^"))
    ]
    for number, (cell, style) in enumerate(zip(findings, styles, strict=False)):
        halves = [math.nan if field.half is None else field.half for field in cell.fields]
        sides = [field.side for field in cell.fields]
        _line(panel, sides, halves, short_name(cell.cell), style, aside=0.07 * number)
    _units(panel, stages)
    panel.set_ylim(0, 1.3 * largest)
    panel.set_ylabel("side, px")
    panel.legend(fontsize=SMALL, frameon=False, labelcolor=INK, handlelength=2.6)
    return figure


def _panels(number: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    across = min(2, number)
    down = math.ceil(number / across)
    figure, panels = new_figure(width * across, 0.4 + height * down, down, across, shared="y")
    for panel in panels[number:]:
        panel.remove()
    return figure, panels


def _line(
    panel: Axes, means: list[float], halves: list[float], label: str, style: tuple[str, str, str], aside: float = 0.0
) -> None:
    """Draw means with their intervals; `style` is colour, shape of the marks and dashes of the line."""
    colour, shape, dashes = style
    places = [at + aside for at in range(len(means))]
    panel.errorbar(
        places, means, yerr=halves, label=label, fmt=shape, ls=dashes, lw=1.1, color=colour, ms=4.5, mec=PAPER, mew=0.6,
        elinewidth=0.9,
    )  # fmt: skip


def _units(panel: Axes, names: Sequence[str]) -> None:
    shown: Callable[[str], str] = short_name if len(names) <= 20 else lambda _: ""
    panel.set_xticks(
        range(len(names)), [shown(name) for name in names], rotation=45 if len(names) > 4 else 0, fontsize=SMALL
    )
    panel.grid(axis="x", visible=False)
