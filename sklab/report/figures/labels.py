"""Names beside the points of a scatter, placed so that they do not lie on each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from sklab.analysis.statistics.intervals import FloatArray
from sklab.report.figures.style import MUTED

_SIZE = 7.5  # points
_CLEAR = 4.0  # around a mark, points
_LINE = _SIZE + 1.5  # height of a label, points
_THICK = np.array([1.0, 0.0])  # half width of a bar

# A box is (left, bottom, right, top), in points.


@dataclass(frozen=True)
class Label:
    """`name` ("" for none) of the mark at (x, y); `half` is half the length of the bar through it."""

    name: str
    x: float
    y: float
    half: float
    colour: str


def place_labels(panel: Axes, labels: Sequence[Label]) -> None:
    """Write the names beside their marks, with a thin line where the free place is far. The first choose first; a
    name that finds no free place is left out; the table has it.
    """
    xs, ys, halves = np.array([(label.x, label.y, label.half) for label in labels], dtype=np.float64).T
    at = _to_points(panel, xs, ys)
    bars = np.hstack([_to_points(panel, xs, ys - halves) - _THICK, _to_points(panel, xs, ys + halves) + _THICK])
    taken = np.hstack([at - _CLEAR, at + _CLEAR])
    for number, label in ((number, label) for number, label in enumerate(labels) if label.name):
        places = [(dx, dy, _box(at[number], dx, dy, label.name)) for dx, dy in _offsets(_width(label.name))]
        free = [place for place in places if _inside(panel, place[2]) and not _touched(place[2], taken)]
        if free:
            dx, dy, box = min(free, key=lambda place: _touched(place[2], bars))
            taken = np.vstack([taken, box])
            _write(panel, label, dx, dy)


def _to_points(panel: Axes, xs: FloatArray, ys: FloatArray) -> FloatArray:
    return np.asarray(panel.transData.transform(np.column_stack([xs, ys])) * 72 / panel.figure.dpi)


def _width(name: str) -> float:
    """Of a label, in points."""
    return float(text_to_path.get_text_width_height_descent(name, FontProperties(size=_SIZE), False)[0])


def _box(point: FloatArray, dx: float, dy: float, name: str) -> FloatArray:
    left, middle = point[0] + dx, point[1] + dy
    return np.array([left, middle - _LINE / 2, left + _width(name), middle + _LINE / 2])


def _inside(panel: Axes, box: FloatArray) -> bool:
    left, bottom, right, top = np.asarray(panel.bbox.extents) * 72 / panel.figure.dpi
    return bool(left <= box[0] and box[2] <= right and bottom <= box[1] and box[3] <= top)


def _offsets(width: float) -> list[tuple[float, float]]:
    """Places of a label's left end and middle line, from its point: right, left, then further up and down."""
    steps = [0.0, *(sign * step * _LINE / 2 for step in range(1, 13) for sign in (1, -1))]
    return [(dx, dy) for dy in steps for dx in (_CLEAR + 2 + abs(dy) / 3, -_CLEAR - 2 - abs(dy) / 3 - width)]


def _touched(box: FloatArray, others: FloatArray) -> int:
    """How many of `others` lie on `box`."""
    return int(np.count_nonzero(np.all((box[:2] < others[:, 2:]) & (others[:, :2] < box[2:]), axis=1)))


def _write(panel: Axes, label: Label, dx: float, dy: float) -> None:
    side = "left" if dx > 0 else "right"
    end = dx if dx > 0 else dx + _width(label.name)
    line = {"arrowstyle": "-", "color": MUTED, "lw": 0.4, "shrinkA": 0, "shrinkB": 3} if abs(dy) > _LINE else None
    how: Any = {"ha": side, "va": "center", "fontsize": _SIZE, "color": label.colour}
    panel.annotate(label.name, (label.x, label.y), (end, dy), textcoords="offset points", arrowprops=line, **how)
