"""The confirmation of a study's best cell: a study of its own, of that cell and the baseline on seeds that nothing was
chosen by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from scipy.special import stdtrit

from sklab.analysis.evidence.blocks import chances
from sklab.analysis.evidence.nuisance import at_tuned_settings
from sklab.analysis.statistics import blocks
from sklab.analysis.statistics.intervals import ALPHA
from sklab.analysis.statistics.planning import seeds_needed
from sklab.analysis.table.replicates import values_and_ends
from sklab.errors import SklabError
from sklab.report.numbers import difference_size
from sklab.spec.study.sweep import Cell, Sweep
from sklab.store.records import RunRecord
from sklab.sweep.design.cells import with_seeds

FIRST_SEED = 500_000  # far from the seeds that a study has, and below those of tuning
FEWEST, MOST = 3, 50  # seeds that a confirmation asks for by itself


@dataclass(frozen=True)
class Chosen:
    """The likeliest best cell of a study.

    difference  its shrunken mean minus the baseline's: what a confirmation may expect
    sd          standard deviation of one seed's difference of two cells
    """

    sweep: Sweep
    cell: Cell
    difference: float
    sd: float

    @property
    def needed(self) -> int | None:
        """The seeds that find the difference with 80 % probability by a paired t test at 5 %; None: more than 1000."""
        found = seeds_needed(self.difference, self.sd, 2, 1.0, lambda df: float(stdtrit(df, 1 - ALPHA / 2)))
        return None if found is None else max(found, FEWEST)


def choose(sweep: Sweep, records: Mapping[str, RunRecord]) -> Chosen:
    """The likeliest best cell, by all complete runs. Raises SklabError where there is nothing to confirm."""
    if sweep.confirms:
        raise SklabError(f"{sweep.study} confirms {sweep.confirms} itself; a confirmation is made once")
    if sweep.vary and sweep.vary.block > 1:
        raise SklabError(f"{sweep.study}: vary crosses seeds in blocks; only single seeds can be added to confirm it")
    sweep = at_tuned_settings(sweep, records)
    values, _ = values_and_ends(sweep, records)
    found = chances(sweep, values)
    baseline = next((at for at, cell in enumerate(sweep.cells) if cell.name == sweep.baseline), None)
    if baseline is None or math.isnan(found.best[baseline]):
        raise SklabError(f"{sweep.study}: runs of the baseline and of other cells are needed before one is confirmed")
    best = int(np.nanargmax(found.best))
    difference = float(found.mean[best] - found.mean[baseline])
    if best == baseline or sweep.metric.measure.sign * difference >= 0:
        raise SklabError(f"{sweep.study}: the baseline {sweep.baseline} is the likeliest best cell; nothing to confirm")
    sd = math.sqrt(2 * float(blocks.fit(values).variance))
    return Chosen(sweep, sweep.cells[best], difference, sd)


def confirmation(chosen: Chosen, name: str, seeds: int | None) -> Sweep:
    """The study `name` that confirms the choice, on so many fresh seeds, or on as many as 80 % power needs. Raises
    SklabError where these are more than MOST."""
    number = seeds if seeds is not None else chosen.needed
    metric = chosen.sweep.metric
    expected = f"{difference_size(metric, chosen.difference)} {metric.measure.better}"
    if seeds is None and (number is None or number > MOST):
        many = "more than 1000" if number is None else str(number)
        raise SklabError(
            f"{chosen.cell.name} is expected to be {expected} than the baseline; 80 % power takes {many} seeds, and "
            f"without --seeds N at most {MOST} are trained"
        )
    assert number is not None
    used = {seed for cell in chosen.sweep.cells for seed in cell.runs} | set(chosen.sweep.seeds)
    first = max((seed + 1 for seed in used if seed >= FIRST_SEED), default=FIRST_SEED)
    return _study(chosen, name, tuple(range(first, first + number)))


def _study(chosen: Chosen, name: str, seeds: tuple[int, ...]) -> Sweep:
    study, metric = chosen.sweep, chosen.sweep.metric
    pair = [cell for cell in study.cells if cell.name in (study.baseline, chosen.cell.name)]
    cells = tuple(with_seeds(study.experiment, cell.model_copy(update={"runs": {}}), seeds) for cell in pair)
    return Sweep(
        study=name,
        question=f"Is {chosen.cell.name}, the likeliest best cell of {study.study}, better than {study.baseline}? "
        f"It was expected to be by {difference_size(metric, chosen.difference)}.",
        experiment_name=study.experiment_name,
        experiment=study.experiment,
        design="list",
        seeds=seeds,
        metric=metric,
        also=study.also,
        sizes=study.sizes,
        baseline=study.baseline,
        columns=study.columns,
        cells=cells,
        margin=study.margin,
        confirms=study.study,
    )


def device_seconds(chosen: Chosen, confirming: Sweep, records: Mapping[str, RunRecord]) -> float:
    """The time that the runs of `confirming` take one after another, as those of the study did."""
    names = {cell.name for cell in confirming.cells}
    keys = [key for cell in chosen.sweep.cells if cell.name in names for key in cell.runs.values()]
    took = [records[key].wall_seconds for key in keys if key in records and records[key].status == "complete"]
    return fmean(took) * len(confirming.seeds) * len(confirming.cells)
