"""The sources of chance of a study that varies them apart: how much of the spread between runs is due to each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sklab.analysis.evidence.blocks import whole_blocks
from sklab.analysis.statistics.intervals import FloatArray
from sklab.analysis.variance.components import Components, of_differences, of_runs
from sklab.spec.study.sweep import Sweep
from sklab.spec.study.vary import SOURCES, Vary


@dataclass(frozen=True)
class Chance:
    """The sources of chance of a study.

    vary         what varies, and how it is crossed
    runs         the variances of a run, by source; None where the runs don't tell the sources apart
    differences  the same of what a run does to its cell alone, which is half the variance of a difference between two
                 cells on one run; None with one cell, too
    cells        names of the cells that are in the analysis: those whose runs make whole blocks
    blocks       how many blocks these have all of
    """

    vary: Vary
    runs: Components | None
    differences: Components | None
    cells: tuple[str, ...]
    blocks: int

    @property
    def crossed(self) -> tuple[str, ...]:
        """The sources that have several seeds in a block."""
        return tuple(name for name, number in self.vary.fresh.items() if number > 1)

    @property
    def with_block(self) -> tuple[str, ...]:
        """The sources that are new with every block."""
        return tuple(name for name, number in self.vary.fresh.items() if number == 1)

    @property
    def fixed(self) -> tuple[str, ...]:
        """The sources that are the same in all runs."""
        return tuple(name for name in SOURCES if name not in self.vary.fresh)

    @property
    def judged(self) -> Components | None:
        """What an interval of a comparison depends on; that of single runs where there is one cell."""
        return self.differences or self.runs

    @property
    def width_of_list(self) -> float:
        """How wide an interval would be with as many runs of which each has new seeds of every source, compared with
        that of these blocks."""
        assert self.judged is not None
        found, size = self.judged, self.vary.block
        alone = found.rest.variance + (found.blocks.variance if found.blocks else 0)
        every = alone + sum(part.variance for part in found.sources)
        of_block = found.rest.variance / size + (found.blocks.variance if found.blocks else 0)
        numbers = (self.vary.fresh[name] for name in self.crossed)
        of_block += sum(part.variance / number for part, number in zip(found.sources, numbers, strict=True))
        return math.sqrt(every / size / of_block) if of_block else 1.0


def chance_of(sweep: Sweep, values: FloatArray) -> Chance | None:
    """What `values` (cells, seeds of the sweep; NaN: no run) tell of the sources; None for a study that varies none."""
    vary = sweep.vary
    if vary is None:
        return None
    layout, cells = _whole(sweep, vary, values)
    runs, differences = (of(layout, block_effect=1 in vary.fresh.values()) for of in (of_runs, of_differences))
    names = tuple(cell.name for cell, there in zip(sweep.cells, cells, strict=True) if there)
    return Chance(vary, runs, differences, names, layout.shape[1])


def _whole(sweep: Sweep, vary: Vary, values: FloatArray) -> tuple[FloatArray, list[bool]]:
    """The values (cells, blocks, seeds of each crossed source) without gaps: of the cells and blocks that together have
    most runs. And which cells these are."""
    size, place = vary.block, {seed: at for at, seed in enumerate(sweep.seeds)}
    numbers = whole_blocks(sweep, sweep.seeds)
    columns = [place[number * size + at] for number in numbers for at in range(size)]
    by_block = values[:, columns].reshape(len(values), len(numbers), size)
    cells, blocks = _without_gaps(np.asarray(~np.isnan(by_block).any(axis=2)))
    kept = by_block[cells][:, blocks]
    crossed = [number for number in vary.fresh.values() if number > 1]
    layout = kept.reshape(*kept.shape[:2], *reversed(crossed))  # in a block the first source runs fastest
    return np.transpose(layout, (0, 1, *range(layout.ndim - 1, 1, -1))), cells.tolist()


def _without_gaps(there: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The cells and the blocks of `there` (cells, blocks) that have no gap together, of cells with at least so many."""
    count = there.sum(axis=1)
    choices = [(count >= least, there[count >= least].all(axis=0)) for least in range(1, there.shape[1] + 1)]
    none = (np.zeros(there.shape[0], dtype=np.bool_), np.zeros(there.shape[1], dtype=np.bool_))
    return max(choices, key=lambda chosen: int(chosen[0].sum() * chosen[1].sum()), default=none)
