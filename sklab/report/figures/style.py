"""How figures look, and how they become SVG: the same drawing, the same bytes."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Okabe and Ito's blue and vermilion, told apart by all; everything else is grey. A figure inside the report
# takes the page's own colours of these names, so that it follows a dark page.
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


@dataclass(frozen=True)
class Drawing:
    """A figure of the report: its files `figures/<name>.svg` and `.pdf`, and in words what is to be seen in it."""

    name: str
    title: str
    caption: str
    svg: str
    pdf: bytes


def drawing(name: str, title: str, caption: str, draw: Callable[[], Figure]) -> Drawing:
    """The figure that `draw` makes, in the style of the report. `name` seeds the ids inside."""
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the viewer's fonts have it
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        mpl.rcParams["svg.hashsalt"] = name
        figure = draw()
        svg = _svg(figure)
        figure.set_layout_engine(None)  # the PDF is laid out as the SVG was: that takes as long as to draw it
        return Drawing(name, title, caption, svg, _pdf(figure))


def _svg(figure: Figure) -> str:
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return re.sub(r' id="[\w.]+_\d+"', "", stream.getvalue())  # numbered ids would meet in one page


def _pdf(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="pdf", metadata=dict.fromkeys(("Creator", "Producer", "CreationDate")))
    return stream.getvalue()


def inline(text: str) -> str:
    """An SVG as part of a page: no XML head, and the page's colours."""
    body = text[text.index("<svg") :]
    for name, colour in COLOURS.items():
        body = body.replace(colour, f"var(--{name})")
    return body.replace("<svg ", '<svg role="img" ', 1)


def new_figure(
    width: float, height: float, rows: int = 1, cols: int = 1, *, shared: Literal["both", "y", "none"] = "both"
) -> tuple[Figure, list[Axes]]:
    """A figure of `width` x `height` inches and its panels, row by row, with `shared` axes or axes of their own."""
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplots(rows, cols, sharex=shared == "both", sharey=shared != "none", squeeze=False)
    return figure, [panel for line in panels for panel in line]


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
