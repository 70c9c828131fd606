"""The ablation table as a value: its rows, and the runs of each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sklab.analysis.choice.pareto import differ_severalfold, pareto_front
from sklab.analysis.choice.race import BestRace
from sklab.analysis.evidence.allocation import NextRuns
from sklab.analysis.evidence.components import Chance
from sklab.analysis.evidence.held_out import HeldOut
from sklab.analysis.evidence.images import ImageEvidence
from sklab.analysis.evidence.nuisance import Tuning
from sklab.analysis.statistics.checks import Choice
from sklab.analysis.statistics.compare import Decision, Versus
from sklab.analysis.statistics.sequential import Race
from sklab.analysis.table.effects import NO_EFFECTS, Effects
from sklab.analysis.table.looks import Seen
from sklab.analysis.table.questions import Answer
from sklab.spec.study.metrics import METRICS, TOP1_ERROR, Direction, Measure
from sklab.spec.study.sweep import Cell, Metric, PublishedRow, Sweep
from sklab.store.dated import NO_PLANS, Plans
from sklab.store.records import Reused, RunRecord, RunState
from sklab.store.states import UNENDED

Standing = Literal["best", "not distinguishable", "worse", "cannot tell", ""]
BaselineVerdict = Literal["better", "worse", "equivalent", "not worse", "undecided", "no test"]


def row_verdict(decision: Decision, better: Direction) -> BaselineVerdict:
    """A verdict on a difference in the words of a table, where `better` is the direction of better values."""
    match decision:
        case "lower" | "higher":
            return "better" if decision == better else "worse"
        case "not higher" | "not lower":
            return "not worse"
    return decision


@dataclass(frozen=True)
class Run:
    """One planned run of a row. Only a `complete` run has a `value`; the others have a `reason`. An `unreadable`
    one has a record that can't be read.

    errors  in %, by size in pixels a side: the sweep's further sizes at which the run has been evaluated
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
    """The error in % at a further size: mean over the `n` runs evaluated there, and half width of its 95 % interval."""

    n: int
    mean: float | None
    half: float | None


def also_of(sweep: Sweep, run: Run, name: str) -> float | None:
    """The metric `name` of a complete run, at the epoch of the study's; None where there is none."""
    return (
        run.record.value(Metric(name=name, epoch=sweep.metric.epoch)) if run.value is not None and run.record else None
    )


def without(sweep: Sweep, row: Row, name: str) -> list[Run]:
    """The complete runs of a row that lack the metric `name`."""
    return [run for run in row.runs if run.state == "complete" and also_of(sweep, run, name) is None]


@dataclass(frozen=True)
class Also:
    """A further metric: mean and standard deviation over the `n` runs that have it."""

    n: int
    mean: float | None
    sd: float | None


@dataclass(frozen=True)
class Row:
    """The row of one cell. Numbers are over its complete runs, and None where they can't be given.

    mean, sd, half      of the sweep's metric, with its standard deviation and the half width of its 95 % t interval
                        (`compare.means`)
    chance              the probability that it is the best cell; None where the sweep does not ask for it
    shrunken            its mean without the luck of the lowest (`choice.posterior`); None likewise
    baseline            the comparison with the baseline; None on the baseline's own row
    best                the comparison with the row of best mean; None on that row
    standing            the verdict on the comparison with the best row
    pareto              the costs (of pareto.COSTS) for which it is on the Pareto set of error and cost
    at_size             the error at the sweep's further sizes, by size in pixels a side; empty for an invalid cell
    also                the sweep's further metrics by name; empty for an invalid cell
    params, macs        of the network; macs of one forward pass of one image
    latency_ms          of one image, mean over runs; None where not all of them have measured it
    latency_range       the lowest and the highest latency of these runs
    replay_latency_ms   of one image as the replay of a CUDA graph, mean over runs; None where not all have measured it
    train_seconds, samples_per_second, peak_memory_mb   means over runs
    guessing            the error of guessing in %, if the row's mean error is no lower as far as its images can tell
    last_fall           number of points by which the error fell in the last epoch, if the cell is undertrained
    sequential_verdict  the verdict against the baseline under repeated looking, in a study with replicates
    margin              a difference of at most this makes no difference to the user; NaN where none is stated
    measure             the sweep's metric
    invalid             why the cell can't exist, else ""
    same_as             the row that has the same network under other settings, else ""; the numbers stand in that row
                        alone
    block               the number of runs behind each number that is compared; n counts blocks where it is not 1

    A cell with a pruned run has no numbers: the seeds that were not pruned are the lucky ones.
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
    chance: float | None = None
    shrunken: float | None = None
    baseline: Versus | None = None
    best: Versus | None = None
    standing: Standing = ""
    pareto: tuple[str, ...] = ()
    at_size: Mapping[int, AtSize] = field(default_factory=dict)
    also: Mapping[str, Also] = field(default_factory=dict)
    params: int | None = None
    macs: int | None = None
    latency_ms: float | None = None
    latency_range: tuple[float, float] | None = None
    replay_latency_ms: float | None = None
    train_seconds: float | None = None
    samples_per_second: float | None = None
    peak_memory_mb: float | None = None
    published: PublishedRow | None = None
    guessing: float | None = None
    last_fall: float | None = None
    sequential_verdict: BaselineVerdict | None = None
    margin: float = math.nan
    measure: Measure = METRICS[TOP1_ERROR]
    invalid: str = ""
    same_as: str = ""
    block: int = 1

    @property
    def rank(self) -> float:
        """The mean, turned so that lower is better; infinite where there is none."""
        return math.inf if self.mean is None else self.measure.sign * self.mean

    @property
    def planned(self) -> int:
        """The number of runs that the sweep asks for in this cell, or of their blocks, ended or not."""
        return len(self.runs) // self.block

    @property
    def verdict(self) -> BaselineVerdict | None:
        """The verdict on the comparison with the baseline; None without a comparison."""
        against = self.baseline
        if self.sequential_verdict in ("better", "worse", "no test") or against is None or not self.n:
            return self.sequential_verdict
        verdict = row_verdict(against.verdict(self.margin, self.measure.better), self.measure.better)
        return verdict if verdict == "no test" or not self.sequential_verdict else "undecided"

    @property
    def seeds_missing(self) -> int | None:
        """The seeds to add until the observed difference would be found with 80 % probability: 0 where the row is told
        apart already. None: more than 1000 seeds in all, or no comparison."""
        if self.verdict in ("better", "worse"):
            return 0
        return self.baseline.missing if self.baseline else None

    @property
    def latency_unsteady(self) -> bool:
        """Whether the latencies of its runs differ severalfold; they then take no part in a Pareto set."""
        return self.latency_range is not None and differ_severalfold(*self.latency_range)

    @property
    def idle(self) -> bool:
        """Whether no run of it has ended yet, in any way."""
        return all(run.state in ("running", "waiting") for run in self.runs)

    @property
    def unfinished(self) -> tuple[Run, ...]:
        """The runs that have no number, each with its reason."""
        return tuple(run for run in self.runs if run.state != "complete")


@dataclass(frozen=True)
class AblationTable:
    """The rows of a study in the order of its sweep file; duplicates and invalid cells come last.

    choice    the method by which the rows are compared with the baseline; None where the sweep has no baseline row
    questions the answers to the planned questions, in their order: one family
    effects   main effects and interactions of the factors, or why there are none
    race      of a study with replicates: the verdict on each of `race_names`, and the number of seeds it took
    for_best  the seeds that were added to find the best cell; None where none are
    confirmed the study that confirms its best cell on fresh seeds; None where there is none
    looks     the looks at the study; None where it counts them in another way
    reused    the origin of the runs that were made in another study, by key
    plans     what was planned, with its date, and what later
    held_out  what is known of the test split; None for a study without one
    tuning    of a study with nuisance settings: the rows are then those of the cells at the settings chosen for them
    tried     in such a study, each cell at each setting that it tries, with the runs that are called for
    images    what single images tell; None where the runs kept none
    next_runs which further runs would narrow the intervals most, where the baseline has seeds of its own
    sources   of a study that varies its sources of chance apart: how much of the spread is due to each
    """

    sweep: Sweep
    rows: tuple[Row, ...]
    choice: Choice | None = None
    effects: Effects = NO_EFFECTS
    race: Race | None = None
    questions: tuple[Answer, ...] = ()
    looks: Seen | None = None
    for_best: BestRace | None = None
    confirmed: AblationTable | None = None
    reused: Mapping[str, Reused] = field(default_factory=dict)
    plans: Plans = NO_PLANS
    tuning: Tuning | None = None
    tried: tuple[tuple[Cell, tuple[Run, ...]], ...] = ()
    images: ImageEvidence | None = None
    held_out: HeldOut | None = None
    next_runs: NextRuns | None = None
    sources: Chance | None = None

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
    def is_look(self) -> bool:
        """Whether it shows verdicts, and no run is left that could change them."""
        verdicts = (*(row.verdict for row in self.rows), *(answer.verdict for answer in self.questions))
        ended = all(run.state not in UNENDED for row in self.rows for run in row.runs)
        ended = ended and (self.tuning is None or self.tuning.stage.done)
        return ended and self.looks is not None and any(verdict not in (None, "no test") for verdict in verdicts)

    @property
    def race_names(self) -> tuple[str, ...]:
        """The names of what the race compares: the cells, each with the baseline, or the planned questions."""
        return tuple(self.sweep.questions) if self.sweep.by_question else tuple(cell.name for cell in self.sweep.cells)

    @property
    def unreadable(self) -> tuple[Run, ...]:
        """The runs whose records can't be read."""
        return tuple(run for row in self.rows for run in row.runs if run.state == "unreadable")

    @property
    def best(self) -> Row | None:
        """The row of best mean, or None while no run is complete."""
        return next((row for row in self.rows if row.standing == "best"), None)

    @property
    def winner(self) -> Row | None:
        """The row of best mean, if every other row with numbers is told apart from it as worse; a table prints it in
        bold."""
        others = [row for row in self.rows if row.n and row is not self.best]
        return self.best if others and all(row.standing == "worse" for row in others) else None

    @property
    def likeliest(self) -> Row | None:
        """The row that is the likeliest to be the best cell; None where the sweep does not ask for it."""
        rows = [row for row in self.rows if row.chance is not None]
        return max(rows, key=lambda row: (row.chance, -row.rank)) if rows else None

    @property
    def pareto_front(self) -> tuple[Row, ...]:
        """The rows on the Pareto set by mean error and cost, the cheapest first; empty for a search with one
        objective."""
        against = self.sweep.search.second_objective if self.sweep.search else None
        if against is None:
            return ()
        rows = [row for row in self.rows if row.mean is not None and getattr(row, against) is not None]
        places = pareto_front([row.rank for row in rows], [getattr(row, against) for row in rows])
        return tuple(rows[at] for at in places)

    @property
    def baseline(self) -> Row | None:
        """The row that the others are compared with, if it has a complete run."""
        return next((row for row in self.rows if row.is_baseline and row.n), None)
