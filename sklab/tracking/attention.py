"""The attention that the runs of a study left in their folders (`attention.json`), by cell and SK unit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sklab.records import RunFolder

Row = dict[str, str | int | float]


def unit_rows(folder: Path) -> list[Row]:
    """A row per cell and SK unit of the study in `folder`, in the order of the cells' names and of the network.

    `kernel` is the expected kernel in pixels: the mean of the branches' windows with their shares of the attention
    as weights, over all validation images, then over the cell's n runs. Empty where no run left any attention.
    """
    kernels: dict[tuple[str, str], list[float]] = {}
    for file in sorted(folder.glob("runs/*/attention.json")):
        seen = json.loads(file.read_bytes())
        cell = RunFolder(file.parent).read_order().cell
        for unit in seen["units"]:
            kernels.setdefault((cell, unit["name"]), []).append(_expected_kernel(unit, seen["counts"]))
    return [
        {"cell and unit": f"{cell} {unit}", "cell": cell, "unit": unit, "n": len(of), "kernel": math.fsum(of) / len(of)}
        for (cell, unit), of in sorted(kernels.items(), key=lambda entry: entry[0][0])
    ]


def _expected_kernel(unit: Mapping[str, Any], counts: Sequence[Sequence[int]]) -> float:
    """`unit["mean"]` [branch][class][bin] are means over `counts` [class][bin] images, null where there is none."""
    images = [n for of_class in counts for n in of_class]
    means = [[mean or 0.0 for of_class in branch for mean in of_class] for branch in unit["mean"]]
    shares = [_weighted(branch, images) / sum(images) for branch in means]
    return _weighted(shares, unit["kernels"])


def _weighted(values: Sequence[float], weights: Sequence[int]) -> float:
    return math.fsum(value * weight for value, weight in zip(values, weights, strict=True))
