"""The runs of a study that can be compared with each other, and the best cell by those that its cells share.

Runs of a block share seeds of their sources of chance, so only whole blocks are independent of each other. Where `vary`
crosses seeds, all that is tested in a table is tested on the means of blocks: a block is there what a seed is
elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklab.analysis.choice.posterior import Posterior, best_cell
from sklab.analysis.statistics.intervals import FloatArray
from sklab.analysis.statistics.unpaired import split
from sklab.spec.study.sweep import Sweep


def block_size(sweep: Sweep) -> int:
    """The number of runs of a block; 1 where all runs are independent."""
    return sweep.vary.block if sweep.vary else 1


def whole_blocks(sweep: Sweep, seeds: Sequence[int]) -> tuple[int, ...]:
    """The numbers of the blocks that have all their runs among `seeds`, in their order."""
    size, there = block_size(sweep), set(seeds)
    numbers = dict.fromkeys(seed // size for seed in seeds)
    return tuple(number for number in numbers if there.issuperset(range(number * size, (number + 1) * size)))


def shared_values(sweep: Sweep, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """`values` (cells, seeds of the sweep or their blocks) without those that the baseline has alone, where the sweep
    plans such seeds: what is asked of several cells is asked of the seeds that they share."""
    baseline = next((at for at, cell in enumerate(sweep.cells) if cell.name == sweep.baseline), None)
    return values if baseline is None or not sweep.baseline_seeds else split(values, baseline)[0]


def block_means(sweep: Sweep, values: ArrayLike) -> NDArray[np.float64]:
    """Means (..., blocks) of `values` (..., seeds of the sweep); NaN where a run of a block has none."""
    array = np.asarray(values, dtype=np.float64)
    size = block_size(sweep)
    if size == 1:
        return array
    place = {seed: at for at, seed in enumerate(sweep.seeds)}
    columns = [[place[number * size + at] for at in range(size)] for number in whole_blocks(sweep, sweep.seeds)]
    means: NDArray[np.float64] = array[..., np.array(columns, dtype=np.int64).reshape(-1, size)].mean(axis=-1)
    return means


def chances(sweep: Sweep, values: FloatArray) -> Posterior:
    """The probability of each row of `values` (cells, seeds of the sweep or their blocks) to be the best cell, and its
    shrunken mean, by the seeds that cells share."""
    sign = sweep.metric.measure.sign
    found = best_cell(sign * shared_values(sweep, values))
    return Posterior(found.best, sign * found.mean)


def not_asked(cells: int) -> Posterior:
    """The same where the sweep does not ask for it: NaN."""
    return Posterior(np.full(cells, np.nan), np.full(cells, np.nan))
