"""The names of marks in a figure, placed so that they cover neither marks nor each other."""

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

_SIZE = 10.5  # points, as all letters of a figure that a telephone draws smaller
_CLEAR = 4.0  # around a mark, points
_LINE = _SIZE + 1.5  # height of a label, points
_THICK = np.array([1.0, 0.0])  # half width of an upright bar, points
# A box is (left, bottom, right, top), in points.


@dataclass(frozen=True)
class Label:
    """`name` ("" for none) of the mark at (x, y). `half` is half the length of the upright bar through the mark;
    `span` is where the level bar through it begins and ends, None without such a bar."""

    name: str
    x: float
    y: float
    half: float
    colour: str
    span: tuple[float, float] | None = None


def place_labels(panel: Axes, labels: Sequence[Label]) -> None:
    """Write the name of each label beside its mark, one label after the other.

    A name may lie neither on a mark nor on another name. Of the places that are left, it takes the one that touches the
    fewest bars. A thin line joins it to its mark if they are far apart. If no place is left, the name is not written;
    the table has it.
    """
    xs, ys = np.array([(label.x, label.y) for label in labels], dtype=np.float64).T
    marks, bars = _to_points(panel, xs, ys), _bars(panel, labels)
    taken = np.hstack([marks - _CLEAR, marks + _CLEAR])
    for point, label in ((point, label) for point, label in zip(marks, labels, strict=True) if label.name):
        places = [(dx, dy, _box(point, dx, dy, label.name)) for dx, dy in _offsets(_width(label.name))]
        free = [place for place in places if _inside(panel, place[2]) and not _touched(place[2], taken)]
        if free:
            dx, dy, box = min(free, key=lambda place: _touched(place[2], bars))
            taken = np.vstack([taken, box])
            _write(panel, label, dx, dy)


def _bars(panel: Axes, labels: Sequence[Label]) -> FloatArray:
    """The boxes of the upright and of the level bars through the marks."""
    xs, ys, halves = np.array([(label.x, label.y, label.half) for label in labels], dtype=np.float64).T
    upright = np.hstack([_to_points(panel, xs, ys - halves) - _THICK, _to_points(panel, xs, ys + halves) + _THICK])
    begins, ends = np.array([label.span or (label.x, label.x) for label in labels], dtype=np.float64).T
    level = np.hstack([_to_points(panel, begins, ys) - _THICK[::-1], _to_points(panel, ends, ys) + _THICK[::-1]])
    return np.vstack([upright, level])


def _to_points(panel: Axes, xs: FloatArray, ys: FloatArray) -> FloatArray:
    return np.asarray(panel.transData.transform(np.column_stack([xs, ys])) * 72 / panel.figure.dpi)


def _width(name: str) -> float:
    """The width of `name`, written as a label, in points."""
    return float(text_to_path.get_text_width_height_descent(name, FontProperties(size=_SIZE), False)[0])


def _box(point: FloatArray, dx: float, dy: float, name: str) -> FloatArray:
    left, middle = point[0] + dx, point[1] + dy
    return np.array([left, middle - _LINE / 2, left + _width(name), middle + _LINE / 2])


def _inside(panel: Axes, box: FloatArray) -> bool:
    left, bottom, right, top = np.asarray(panel.bbox.extents) * 72 / panel.figure.dpi
    return bool(left <= box[0] and box[2] <= right and bottom <= box[1] and box[3] <= top)


def _offsets(width: float) -> list[tuple[float, float]]:
    """The places of a label's left end and middle line, relative to its mark: right and left of it, then further up and
    down."""
    steps = [0.0, *(sign * step * _LINE / 2 for step in range(1, 13) for sign in (1, -1))]
    return [(dx, dy) for dy in steps for dx in (_CLEAR + 2 + abs(dy) / 3, -_CLEAR - 2 - abs(dy) / 3 - width)]


def _touched(box: FloatArray, others: FloatArray) -> int:
    """The number of `others` that overlap with `box`."""
    return int(np.count_nonzero(np.all((box[:2] < others[:, 2:]) & (others[:, :2] < box[2:]), axis=1)))


def _write(panel: Axes, label: Label, dx: float, dy: float) -> None:
    side = "left" if dx > 0 else "right"
    end = dx if dx > 0 else dx + _width(label.name)
    line = {"arrowstyle": "-", "color": MUTED, "lw": 0.4, "shrinkA": 0, "shrinkB": 3} if abs(dy) > _LINE else None
    how: Any = {"ha": side, "va": "center", "fontsize": _SIZE, "color": label.colour}
    panel.annotate(label.name, (label.x, label.y), (end, dy), textcoords="offset points", arrowprops=line, **how)
