"""The ablation table as a value: rows, the runs under each of them, and the published figures beside them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from sklab.analysis.statistics.checks import Choice
from sklab.analysis.statistics.compare import Decision, Versus
from sklab.analysis.statistics.intervals import RankAgreement, Verdict, rank_agreement, verdict
from sklab.analysis.statistics.pareto import differ_severalfold, pareto_front
from sklab.analysis.statistics.sequential import Race
from sklab.analysis.table.effects import NO_EFFECTS, Effects
from sklab.analysis.table.questions import Answer
from sklab.spec.study.sweep import PublishedRow, Sweep
from sklab.store.records import Reused, RunRecord, RunState

Standing = Literal["best", "not distinguishable", "worse", "cannot tell", ""]
BaselineVerdict = Literal["better", "worse", "equivalent", "not worse", "undecided", "no test"]
Reproduced = Verdict | Literal[""]
_OF_ROW: dict[Decision, BaselineVerdict] = {
    "lower": "better",
    "higher": "worse",
    "equivalent": "equivalent",
    "not higher": "not worse",
    "undecided": "undecided",
    "no test": "no test",
}


@dataclass(frozen=True)
class Run:
    """One planned run of a row. Only a `complete` run has a `value`; the others have a `reason`. Of an `unreadable` one
    there is a record that can't be read, so that nothing is known.

    errors  in % at the sweep's further sizes, by pixels a side, as far as the run has been evaluated there
    """

    seed: int
    key: str
    state: RunState
    value: float | None = None
    reason: str = ""
    record: RunRecord | None = None
    errors: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class AtSize:
    """The error in % at a further size, over the `n` runs evaluated there: mean, half width of its 95 % interval."""

    n: int
    mean: float | None
    half: float | None


@dataclass(frozen=True)
class Row:
    """One cell. Numbers are over its complete runs and None where there is nothing to say.

    mean, sd, half      of the sweep's metric, with its standard deviation and the half width of its 95 % t interval
                        (`compare.means`)
    baseline            the comparison with the baseline; None on the baseline's own row
    best                the comparison with the row of lowest mean; None on that row
    standing            what the comparison with the best row allows to say
    pareto              the costs (of pareto.COSTS) that it stands on the Pareto set of error and that cost for
    at_size             the error at the sweep's further sizes, by pixels a side; empty for a cell that can't exist
    params, macs        of the network; macs of one forward pass of one image
    latency_ms          of one image, mean over runs; None where not all of them have measured it
    latency_range       the lowest and the highest of these runs
    train_seconds, samples_per_second, peak_memory_mb   means over runs
    guessing            the error in % of guessing, where the row's mean error is no lower as far as its images can tell
    last_fall           by how many points the error fell in the last epoch, where the cell is undertrained
    raced               the verdict against the baseline under repeated looking, in a study with replicates
    margin              a difference of at most this makes no difference to the user; NaN where none is stated
    invalid             why the cell can't exist, else ""
    same_as             the row whose network the cell is under other settings, else ""; such a row has no numbers, as
                        they would be those of that row once more

    A cell of which a run was pruned has no numbers: the seeds that were not are the lucky ones.
    """

    name: str
    factors: Mapping[str, str]
    settings: Mapping[str, Any]
    is_baseline: bool
    runs: tuple[Run, ...]
    n: int = 0
    mean: float | None = None
    sd: float | None = None
    half: float | None = None
    baseline: Versus | None = None
    best: Versus | None = None
    standing: Standing = ""
    pareto: tuple[str, ...] = ()
    at_size: Mapping[int, AtSize] = field(default_factory=dict)
    params: int | None = None
    macs: int | None = None
    latency_ms: float | None = None
    latency_range: tuple[float, float] | None = None
    train_seconds: float | None = None
    samples_per_second: float | None = None
    peak_memory_mb: float | None = None
    published: PublishedRow | None = None
    guessing: float | None = None
    last_fall: float | None = None
    raced: BaselineVerdict | None = None
    margin: float = math.nan
    invalid: str = ""
    same_as: str = ""

    @property
    def planned(self) -> int:
        """Runs that the sweep asks for in this cell, ended or not."""
        return len(self.runs)

    @property
    def judged(self) -> BaselineVerdict | None:
        """The verdict that the comparison with the baseline allows; None without a comparison."""
        against = self.baseline
        if self.raced in ("better", "worse", "no test") or against is None or not self.n:
            return self.raced
        said = _OF_ROW[against.verdict(self.margin)]
        return said if said == "no test" or not self.raced else "undecided"

    @property
    def seeds_missing(self) -> int | None:
        """Seeds to add until the observed difference would be found with 80 % probability: none where the row is told
        apart already. None: none up to 1000, or no comparison."""
        if self.judged in ("better", "worse"):
            return 0
        return self.baseline.missing if self.baseline else None

    @property
    def latency_unsteady(self) -> bool:
        """Whether the latencies of its runs differ severalfold: then they take no part in a Pareto set."""
        return self.latency_range is not None and differ_severalfold(*self.latency_range)

    @property
    def idle(self) -> bool:
        """Whether no run of it has ended yet, however."""
        return all(run.state in ("running", "waiting") for run in self.runs)

    @property
    def unfinished(self) -> tuple[Run, ...]:
        """The runs that have no number, each with its reason."""
        return tuple(run for run in self.runs if run.state != "complete")


@dataclass(frozen=True)
class AblationTable:
    """The rows of a study, in the order of its sweep file, cells that are the network of another and cells that can't
    exist last.

    choice    how the rows are compared with the baseline, and why; None where the sweep has no such row
    questions the answers to the planned questions, in their order: one family
    effects   main effects and interactions of the factors, or why there are none
    race      of a study with replicates: at how many seeds each of `race_names` was settled, and how
    reused    where runs come from, by key, that were made in another study
    """

    sweep: Sweep
    rows: tuple[Row, ...]
    choice: Choice | None = None
    effects: Effects = NO_EFFECTS
    race: Race | None = None
    questions: tuple[Answer, ...] = ()
    reused: Mapping[str, Reused] = field(default_factory=dict)

    @property
    def noisy(self) -> tuple[Row, ...]:
        """The rows that are plainly noisier than the others of a pooled table."""
        return tuple(self.rows[row] for row in self.choice.noisy) if self.choice else ()

    @property
    def unplanned(self) -> tuple[Answer, ...]:
        """The matched differences of factors that no planned question asks for."""
        planned = {(answer.question.of, answer.question.from_, answer.question.to) for answer in self.questions}
        return tuple(
            answer
            for answer in self.effects.matched
            if (answer.question.of, answer.question.from_, answer.question.to) not in planned
        )

    @property
    def race_names(self) -> tuple[str, ...]:
        """What the race compares: cells with the baseline, or the planned questions."""
        return tuple(self.sweep.questions) if self.sweep.by_question else tuple(cell.name for cell in self.sweep.cells)

    @property
    def unreadable(self) -> tuple[Run, ...]:
        """The runs whose records can't be read."""
        return tuple(run for row in self.rows for run in row.runs if run.state == "unreadable")

    @property
    def best(self) -> Row | None:
        """The row of lowest mean, or None while no run is complete."""
        return next((row for row in self.rows if row.standing == "best"), None)

    @property
    def pareto_front(self) -> tuple[Row, ...]:
        """The rows on the Pareto set by mean error and cost, the cheapest first; empty for a search with one
        objective."""
        against = self.sweep.search.second_objective if self.sweep.search else None
        if against is None:
            return ()
        rows = [row for row in self.rows if row.mean is not None and getattr(row, against) is not None]
        means = np.array([row.mean for row in rows], dtype=np.float64)
        places = pareto_front(means, [getattr(row, against) for row in rows])
        return tuple(rows[at] for at in places)

    @property
    def baseline(self) -> Row | None:
        """The row that the others are compared with, if it has a complete run."""
        return next((row for row in self.rows if row.is_baseline and row.n), None)


def row_reproduced(sweep: Sweep, row: Row) -> Reproduced:
    """Whether our mean is the published one within the tolerance; "" where the sweep asks for no verdict."""
    return reproduced(sweep, row.name, row.mean, row.half)


def published_sizes(sweep: Sweep) -> tuple[int, ...]:
    """The further sizes that any published error of the sweep is for."""
    rows = sweep.published.rows.values() if sweep.published else ()
    return tuple(sorted({size for row in rows for size in row.errors}))


def data_title(sweep: Sweep) -> str:
    """The title of the data or, without one, the name of their kind."""
    data = sweep.experiment.get("data", {})
    return str(data.get("title") or data.get("name", "data of its own"))


def on_published_data(sweep: Sweep) -> bool:
    """Whether the study is on the data that the published figures were measured on."""
    return sweep.published is not None and _letters(data_title(sweep)) in _letters(sweep.published.data)


def asks_for_verdict(sweep: Sweep) -> bool:
    """Whether a tolerance is stated and ours are errors on the data of the published figures."""
    stated = sweep.published is not None and sweep.published.tolerance is not None
    return stated and sweep.metric.name == "val_error" and on_published_data(sweep)


def reproduced(sweep: Sweep, cell: str, mean: float | None, half: float | None) -> Reproduced:
    """The verdict on the published error of `cell`, given our mean and half width of its 95 % interval.

    "" where there is none to give: no tolerance, other data, no figure or no run.
    """
    figure = sweep.published.rows.get(cell) if sweep.published else None
    if figure is None or mean is None or not asks_for_verdict(sweep):
        return ""
    tolerance = (sweep.published and sweep.published.tolerance) or math.nan
    return verdict(mean - figure.error, math.nan if half is None else half, tolerance)


def order_agreement(sweep: Sweep, means: Mapping[str, float | None]) -> RankAgreement:
    """Kendall's tau between our means, by cell, and the published errors of the same cells."""
    rows = sweep.published.rows if sweep.published else {}
    pairs = [(ours, rows[cell].error) for cell, ours in means.items() if ours is not None and cell in rows]
    ours, theirs = zip(*pairs, strict=True) if pairs else ((), ())
    return rank_agreement(ours, theirs)


def _letters(text: str) -> str:
    return re.sub("[^a-z0-9]", "", text.lower())
