"""The figure of attention per channel: two images, enlarged more and more, in a low, a middle and a high unit."""

from __future__ import annotations

from functools import partial

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sklab.analysis.attention.cells import CellAttention, per_channel
from sklab.report.escape import clean
from sklab.report.figures.style import ACCENT, BASE, INK, SMALL, Drawing, drawing, new_figure, short_name

NAME = "attention_channels"
_LINES = ((BASE, "--"), (INK, ":"), (ACCENT, "-"))


def channels_figure(cells: tuple[CellAttention, ...], measure: str) -> list[Drawing]:
    """The figure of the first cell that was analysed, or none; `measure` is the name of what it shows."""
    shown = next((cell for cell in cells if per_channel(cell)), None)
    if shown is None:
        return []
    caption = (
        f"{clean(shown.cell)}{_seed(shown)}: two validation images in rows; a low, a middle and a "
        "high unit in columns; a line for each enlargement. Where the line of the most enlarged image lies above "
        "the others, these channels turn to the large kernel as the object grows; where the lines are one, "
        "they do not respond to its size."
    )
    return [drawing(NAME, "Attention per channel", caption, partial(_draw, shown, measure))]


def _seed(cell: CellAttention) -> str:
    seed = cell.analyses[0].seed
    return "" if seed is None else f", seed {seed}"


def _draw(cell: CellAttention, measure: str) -> Figure:
    every = per_channel(cell)
    across = len({channels.unit for channels in every})
    down = len(every) // across
    figure, panels = new_figure(3.0 * across + 0.6, 0.5 + 2.0 * down, down, across, shared="none")
    for panel, channels in zip(panels, every, strict=True):
        for (enlargement, values), (colour, dashes) in zip(channels.values.items(), _LINES, strict=False):
            panel.plot(range(len(values)), values, ls=dashes, lw=1.0, color=colour, label=f"{enlargement:g}×")
        title = f"{short_name(channels.unit)}, image {channels.image} ({short_name(channels.label)})"
        panel.set_title(title, loc="left", color=INK)
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    panels[0].legend(fontsize=SMALL, frameon=False, labelcolor=INK, handlelength=2.6)
    figure.supxlabel("channel", fontsize=9)
    figure.supylabel(measure, fontsize=9)
    return figure
