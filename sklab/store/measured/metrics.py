"""`metrics.csv` of a run, the metrics of each finished epoch, and `steps.csv`, the curve within epochs. A run may be
writing them now, or they may come from anywhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from sklab.store.files import content

Epoch = dict[str, float]

_MOST_BYTES = 256 * 2**20
_POINT = "step,epoch,train_loss_step,lr"


def read_epochs(file: Path) -> tuple[Epoch, ...]:
    """The metrics by name of the epochs 1, 2, ... in order, up to the first line that is not whole: a run is writing
    it, or was killed while it did. Empty where there is no such file."""
    try:
        lines = content(file, _MOST_BYTES).decode("utf-8", errors="replace").split("\n")
    except OSError:
        return ()
    return tuple(_epochs(lines[0].split(","), lines[1:-1]))


def _epochs(names: Sequence[str], lines: Sequence[str]) -> Iterator[Epoch]:
    for number, line in enumerate(lines, start=1):
        try:
            epoch = dict(zip(names, map(float, line.split(",")), strict=True))
        except ValueError:
            return
        if epoch.pop("epoch", 0) != number:
            return
        yield epoch


def read_points(file: Path) -> tuple[dict[str, float], ...]:
    """The points of `steps.csv` in order, up to the first line that is not whole. Empty where there is no such file."""
    try:
        head, *lines = content(file, _MOST_BYTES).decode("utf-8", errors="replace").split("\n")
    except OSError:
        return ()
    return tuple(_points(head.split(","), lines[:-1])) if head == _POINT else ()


def _points(names: Sequence[str], lines: Sequence[str]) -> Iterator[dict[str, float]]:
    for line in lines:
        try:
            point = dict(zip(names, map(float, line.split(",")), strict=True))
        except ValueError:
            return
        if not (math.isfinite(point["step"]) and math.isfinite(point["epoch"])):
            return
        yield point
