"""Which setting each cell of a study is judged at, where nuisance settings are tuned, and which runs that needs.

Everything is a pure function of the sweep and the records; the caller decides which of them count as ended. A setting
is chosen on seeds of its own, so what it won by luck does not count where its cell is judged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sklab.analysis.choice.settings import best_settings
from sklab.spec.study.nuisance import Nuisance, is_of_tuning
from sklab.spec.study.sweep import Cell, Sweep
from sklab.spec.values import Value
from sklab.store.records import RunRecord
from sklab.system.terminal import quantity


@dataclass(frozen=True)
class Tuned:
    """How the settings of one cell were tuned.

    tried   the cell at each setting
    means   of the metric over the complete tuning runs, setting by setting: infinite for one that diverged, NaN
            without a number
    left    number of tuning runs that have not ended
    chosen  position of the setting of best mean, the experiment's own if none is better
    common  position of the experiment's own setting
    """

    name: str
    tried: tuple[Cell, ...]
    means: tuple[float, ...]
    left: int
    chosen: int
    common: int

    @property
    def differs(self) -> bool:
        """Whether the cell is judged at another setting than the experiment's own."""
        return not self.left and self.chosen != self.common

    @property
    def judged(self) -> tuple[int, ...]:
        """The positions of the settings that are trained on the seeds of judging."""
        return (self.common, self.chosen) if self.differs else (self.common,)


def tuned_cells(sweep: Sweep, records: Mapping[str, RunRecord]) -> tuple[Tuned, ...]:
    """The cells of the design and the settings that they are judged at; none where nothing is tuned."""
    nuisance = sweep.nuisance
    if nuisance is None:
        return ()
    by_name = groupby(sweep.cells, key=sweep.name_of_row)
    return tuple(_tuned(sweep, nuisance, name, tuple(tried), records) for name, tried in by_name)


def _tuned(
    sweep: Sweep, nuisance: Nuisance, name: str, tried: tuple[Cell, ...], records: Mapping[str, RunRecord]
) -> Tuned:
    runs = [[records.get(cell.runs[seed]) for seed in nuisance.tuning_seeds] for cell in tried]
    common = next(at for at, cell in enumerate(tried) if nuisance.setting_of(cell.factors) == nuisance.common)
    sign = sweep.metric.measure.sign
    chosen, means = best_settings([[sign * _value(sweep, run) for run in of_setting] for of_setting in runs], common)
    left = sum(run is None for of_setting in runs for run in of_setting)
    return Tuned(name, tried, tuple((sign * means).tolist()), left, int(chosen), common)


def _value(sweep: Sweep, run: RunRecord | None) -> float:
    if run is not None and run.status == "diverged":
        return math.inf * sweep.metric.measure.sign  # worse than any number
    value = run.value(sweep.metric) if run is not None and run.status == "complete" else None
    return math.nan if value is None else value


def with_tuning_runs(sweep: Sweep, records: Mapping[str, RunRecord]) -> Sweep:
    """`sweep` with the runs that the records call for, and those that have ended: every setting on the seeds of tuning;
    on those of judging, the experiment's own setting and the one that was chosen."""
    assert sweep.nuisance is not None
    seeds = set(sweep.nuisance.tuning_seeds)
    cells = []
    for tuned in tuned_cells(sweep, records):
        for at, cell in enumerate(tuned.tried):
            needed = {*seeds, *judging_seeds(sweep)} if at in tuned.judged else seeds
            runs = {seed: key for seed, key in cell.runs.items() if seed in needed or key in records}
            cells.append(cell.model_copy(update={"runs": runs}))
    return sweep.model_copy(update={"cells": tuple(cells)})


def judging_seeds(sweep: Sweep) -> tuple[int, ...]:
    """The seeds on which cells are judged: all, where nothing is tuned."""
    if sweep.nuisance is None:
        return sweep.seeds
    return tuple(seed for seed in sweep.seeds if not is_of_tuning(seed))


def at_tuned_settings(sweep: Sweep, records: Mapping[str, RunRecord]) -> Sweep:
    """The study as its table shows it: every cell at the setting that was chosen for it, on the seeds of judging. A
    cell that is still being tuned stands at the experiment's own setting."""
    return _at(sweep, {tuned.name: tuned.judged[-1] for tuned in tuned_cells(sweep, records)})


def at_common_setting(sweep: Sweep) -> Sweep:
    """The study as it would be without tuning: every cell at the experiment's own setting."""
    return _at(sweep, {tuned.name: tuned.common for tuned in tuned_cells(sweep, {})})


def _at(sweep: Sweep, places: Mapping[str, int]) -> Sweep:
    nuisance = sweep.nuisance
    if nuisance is None:
        return sweep
    seeds = judging_seeds(sweep)
    cells = [_judged(nuisance, tuned, places[tuned.name], seeds) for tuned in tuned_cells(sweep, {})]
    return sweep.model_copy(
        update={
            "nuisance": None,
            "seeds": seeds,
            "baseline": sweep.baseline.removesuffix(nuisance.name("", nuisance.common)),
            "cells": tuple(cells),
            "factors": {name: factor for name, factor in sweep.factors.items() if name not in nuisance.settings},
        }
    )


def _judged(nuisance: Nuisance, tuned: Tuned, at: int, seeds: Sequence[int]) -> Cell:
    cell = tuned.tried[at]
    factors = {name: level for name, level in cell.factors.items() if name not in nuisance.settings}
    runs = {seed: cell.runs[seed] for seed in seeds if seed in cell.runs}
    return cell.model_copy(update={"name": tuned.name, "factors": factors, "runs": runs})


@dataclass(frozen=True)
class Untuned:
    """A cell at the experiment's own setting, on the seeds of judging: `n` complete runs, their mean, and the verdict
    against the baseline at that setting (None: no comparison)."""

    n: int
    mean: float | None
    verdict: str | None


NOT_MEASURED = Untuned(0, None, None)


@dataclass(frozen=True)
class Tuning:
    """What was tuned in a study, which setting each cell got, and how the cells compare without tuning, by name.

    spread  standard deviation of a run without the effects of seeds, from the runs of judging; NaN where unknown
    """

    nuisance: Nuisance
    cells: tuple[Tuned, ...]
    stage: Stage
    untuned: Mapping[str, Untuned]
    spread: float

    def is_in_doubt(self, cell: Tuned) -> bool:
        """Whether the mean of another setting lies within two standard errors of a difference."""
        others = [mean for at, mean in enumerate(cell.means) if at != cell.chosen and math.isfinite(mean)]
        if cell.left or not others:
            return False
        return min(abs(mean - cell.means[cell.chosen]) for mean in others) < 2 * self.spread * math.sqrt(
            2 / self.nuisance.seeds
        )

    def setting(self, cell: Tuned, at: int) -> dict[str, str]:
        """The setting at position `at` among those that the cell tried."""
        return self.nuisance.setting_of(cell.tried[at].factors)


def edges(nuisance: Nuisance, cell: Tuned) -> tuple[str, ...]:
    """The paths at which the chosen value is the smallest or the largest of three numbers or more."""
    if cell.left or not math.isfinite(cell.means[cell.chosen]):
        return ()
    setting = nuisance.setting_of(cell.tried[cell.chosen].factors)
    return tuple(path for path, values in nuisance.settings.items() if _is_extreme(values, setting[path]))


def _is_extreme(values: Mapping[str, Any], name: str) -> bool:
    numbers = [value for value in values.values() if type(value) in (int, float)]
    return 3 <= len(numbers) == len(values) and values[name] in (min(numbers), max(numbers))


class Stage(Value):
    """How far the settings of a study are tuned.

    rule     what is tuned, over which values and seeds
    runs     number of tuning runs, of which `ended` have ended, `failed` of these without a number
    cells    number of cells, of which `tuned` have their setting
    further  the most runs that the settings still to be chosen may call for, beyond those that are certain
    """

    rule: str
    runs: int
    ended: int
    failed: int
    cells: int
    tuned: int
    further: int

    @property
    def done(self) -> bool:
        """Whether every cell has its setting."""
        return self.tuned == self.cells

    def __str__(self) -> str:
        failed = f", {self.failed} without a number" if self.failed else ""
        runs = f"{self.ended} of {quantity(self.runs, 'tuning run')} ended{failed}"
        further = f"; at most {quantity(self.further, 'run')} more, at settings still to be chosen" * bool(self.further)
        return f"every cell tunes {self.rule}: {runs}; {self.tuned} of {quantity(self.cells, 'cell')} tuned{further}"


def stage_of(sweep: Sweep, records: Mapping[str, RunRecord]) -> Stage | None:
    """How far the study is tuned, by the runs that have ended; None where nothing is tuned."""
    if sweep.nuisance is None:
        return None
    cells = tuned_cells(sweep, records)
    keys = [cell.runs[seed] for tuned in cells for cell in tuned.tried for seed in sweep.nuisance.tuning_seeds]
    ended = [records[key] for key in keys if key in records]
    open_cells = sum(tuned.left > 0 for tuned in cells)
    return Stage(
        rule=str(sweep.nuisance),
        runs=len(keys),
        ended=len(ended),
        failed=sum(record.status != "complete" for record in ended),
        cells=len(cells),
        tuned=len(cells) - open_cells,
        further=open_cells * len(judging_seeds(sweep)),
    )
