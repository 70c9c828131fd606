"""The attention that the runs of a study left in their folders, by cell and SK unit."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

from sklab.analysis.attention.trends import expected_kernel, pooled
from sklab.errors import DamagedRecordError
from sklab.store.run_folder import RunFolder

Row = dict[str, str | int | float]


def unit_rows(folder: Path) -> list[Row]:
    """A row per cell and SK unit of the study in `folder`, in the order of the cells' names and of the network.

    `kernel` is the expected kernel in pixels over all validation images, mean over the cell's n runs. Empty where no
    run left any attention. A warning for each run whose attention can't be read.
    """
    kernels: dict[tuple[str, str], list[float]] = {}
    for file in sorted(folder.glob("runs/*/attention.json")):
        run = RunFolder(file.parent)
        try:
            cell, seen = run.read_order().cell, run.read_attention()
        except DamagedRecordError as error:
            warnings.warn(str(error), stacklevel=2)
            continue
        if seen is None:
            continue
        for unit in seen.units:
            kernel = expected_kernel(pooled(unit, seen.counts, "nothing"), unit.kernels)
            kernels.setdefault((cell, unit.name), []).append(float(kernel))
    return [
        {"cell and unit": f"{cell} {unit}", "cell": cell, "unit": unit, "n": len(of), "kernel": math.fsum(of) / len(of)}
        for (cell, unit), of in sorted(kernels.items(), key=lambda entry: entry[0][0])
    ]
