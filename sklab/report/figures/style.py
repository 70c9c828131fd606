"""The style of all figures, how they become SVG and PDF with the same bytes each time, and how cells are drawn and
named."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.escape import clean, shortened
from sklab.report.numbers import Limits, any_cut
from sklab.store.files import write_whole

# Okabe and Ito's blue and vermilion, which colour-blind readers can tell apart too; everything else is grey. A figure
# inside the report takes the page's own colours of these names, so that it follows a dark page.
INK, MUTED, GRID, PAPER = "#24292f", "#6a737d", "#d9dee3", "#fefefe"
ACCENT, BASE = "#0072b2", "#d55e00"
COLOURS = {"ink": INK, "muted": MUTED, "grid": GRID, "paper": PAPER, "accent": ACCENT, "base": BASE}

_RC: Any = {
    "font.family": "DejaVu Sans", "font.size": 9, "svg.fonttype": "none", "text.parse_math": False,
    "figure.facecolor": PAPER, "axes.facecolor": "none", "savefig.facecolor": PAPER,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": MUTED, "xtick.color": MUTED, "ytick.color": MUTED,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "axes.titlesize": 9, "axes.linewidth": 0.7,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
    "grid.color": GRID, "grid.linewidth": 0.6, "axes.unicode_minus": True,
}  # fmt: skip
# The page draws 72 points of a figure 96 pixels wide, but a telephone may have only 358 pixels for a whole figure: no
# letter may then be smaller than 11 pixels.
SINGLE = 4.6  # inches
_SINGLE_RC: Any = {"font.size": 10.5, "axes.titlesize": 10.5}
SMALL = 8.5  # points of the smallest letters
_NAME = 28  # letters of a name
Kind = tuple[bool, bool]  # whether a row is the best, and whether it is the baseline


@dataclass(frozen=True)
class Drawing:
    """A figure of the report: its files `figures/<name>.svg` and `.pdf`, and a description in words. A `single` one has
    one panel, `SINGLE` inches wide, and letters that can still be read where a telephone draws it smaller."""

    name: str
    title: str
    caption: str
    svg: str
    pdf: bytes
    single: bool = False


def drawing(name: str, title: str, caption: str, draw: Callable[[], Figure], *, single: bool = False) -> Drawing:
    """The figure that `draw` makes, in the style of the report. `name` seeds the ids in its SVG."""
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the viewer's fonts have it
        mpl.rcdefaults()
        mpl.rcParams.update({**_RC, **(_SINGLE_RC if single else {})})
        mpl.rcParams["svg.hashsalt"] = name
        figure = draw()
        svg = _svg(figure)
        figure.set_layout_engine(None)  # the PDF keeps the SVG's layout, which takes as long as drawing
        return Drawing(name, title, caption, svg, _pdf(figure), single)


def _svg(figure: Figure) -> str:
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return re.sub(r' id="[\w.]+_\d+"', "", stream.getvalue())  # numbered ids would meet in one page


def _pdf(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="pdf", metadata=dict.fromkeys(("Creator", "Producer", "CreationDate")))
    return stream.getvalue()


def inline(drawn: Drawing) -> str:
    """An SVG as part of a page: without the XML head, in the page's colours, with its title for those who hear it."""
    body = drawn.svg[drawn.svg.index("<svg") :]
    for name, colour in COLOURS.items():
        body = body.replace(colour, f"var(--{name})")
    kind = ' class="single"' if drawn.single else ""
    return body.replace("<svg ", f'<svg role="img" aria-label="{escape(drawn.title)}"{kind} ', 1)


def new_figure(
    width: float, height: float, rows: int = 1, cols: int = 1, *, shared: Literal["both", "y", "none"] = "both"
) -> tuple[Figure, list[Axes]]:
    """A figure of `width` x `height` inches and its panels, row by row, with `shared` axes or axes of their own."""
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplots(rows, cols, sharex=shared == "both", sharey=shared != "none", squeeze=False)
    return figure, [panel for line in panels for panel in line]


def name_lines(panel: Axes, names: Sequence[str]) -> None:
    """Write names along the y axis, the first on top, in a panel that has a line of marks for each."""
    panel.set_yticks(range(len(names)), [short_name(name) for name in names])
    panel.set_ylim(len(names) - 0.4, -0.6)
    panel.grid(axis="y", visible=False)
    panel.tick_params(axis="y", length=0)


def panel_grid(count: int) -> tuple[Figure, list[Axes]]:
    """A figure of `count` small panels, up to four side by side, with shared axes and whole numbers along x."""
    across = min(4, count)
    down = math.ceil(count / across)
    figure, panels = new_figure(max(3.4, 2.15 * across), 0.5 + 1.75 * down, down, across)
    for panel in panels[max(0, count - across) : count]:
        panel.tick_params(labelbottom=True)
    for panel in panels[count:]:
        panel.remove()
    panels[0].xaxis.set_major_locator(MaxNLocator(4, integer=True))
    return figure, panels[:count]


def kinds(rows: Sequence[Row]) -> dict[Kind, list[int]]:
    """The positions of `rows` by the way they are drawn. The best and the baseline come last, so that they lie on
    top."""
    members: dict[Kind, list[int]] = {}
    for at, row in enumerate(rows):
        members.setdefault((row.standing == "best", row.is_baseline), []).append(at)
    return dict(sorted(members.items()))


def means(rows: Sequence[Row], members: Sequence[int], within: Limits) -> tuple[list[float], list[list[float]]]:
    """The means of the rows at the positions `members`, and the lengths of their bars below and above, cut at `within`;
    NaN where there is none."""
    middles = [math.nan if (mean := rows[at].mean) is None else mean for at in members]
    halves = [math.nan if (half := rows[at].half) is None else half for at in members]
    both = list(zip(middles, halves, strict=True))
    return middles, [[bar(half, m - within[0]) for m, half in both], [bar(half, within[1] - m) for m, half in both]]


def bar(half: float, room: float) -> float:
    """The length of one side of an interval, at most `room`; NaN where there is no interval."""
    return max(min(half, room), 0.0)  # in this order a NaN stays one


def cut_remark(rows: Sequence[Row], within: Limits) -> str:
    """The remark for a caption that bars are cut; "" where none is."""
    return " No bar goes beyond 0 or 100 %." if any_cut(rows, within) else ""


def mark(kind: Kind) -> dict[str, Any]:
    """The arguments that draw the mean of a cell of this kind. Shape and size show the kind as well as colour."""
    best, baseline = kind
    colour = ACCENT if best else BASE if baseline else INK
    shape, size = ("s" if baseline else "o"), (6.5 if best else 5.5 if baseline else 4.5)
    return {"fmt": shape, "ms": size, "mfc": colour, "mec": PAPER, "mew": 0.6, "ecolor": colour, "elinewidth": 1.1}


def short_name(name: str) -> str:
    """A cell's name on one line of a figure."""
    return shortened(clean(name), _NAME)


def metric_title(table: AblationTable) -> str:
    """The metric with a capital letter, for the beginning of a title."""
    name = table.sweep.metric.measure.title
    return name[:1].upper() + name[1:]


def better_side(table: AblationTable) -> str:
    """The side of a level axis on which better values lie: `Left` or `Right`."""
    return "Left" if table.sweep.metric.measure.better == "lower" else "Right"


def metric_axis(table: AblationTable) -> str:
    """The metric with its unit, for an axis."""
    unit = table.sweep.metric.measure.unit
    return table.sweep.metric.measure.title + (f", {unit}" if unit else "")


def write_figures(folder: Path, drawings: Sequence[Drawing], names: Iterable[str]) -> None:
    """Write `figures/<name>.svg` and `.pdf` in `folder`; those of `names` that are not drawn any more are deleted."""
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    for drawing in drawings:
        write_whole(figures / f"{drawing.name}.svg", drawing.svg)
        write_whole(figures / f"{drawing.name}.pdf", drawing.pdf)
    for name in {*names} - {drawing.name for drawing in drawings}:
        for kind in ("svg", "pdf"):
            (figures / f"{name}.{kind}").unlink(missing_ok=True)
