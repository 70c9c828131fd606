"""The ablation table as a value: rows, the runs under each of them, and the whole as a data frame."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sklab.analysis.compare import Choice, Versus
from sklab.analysis.effects import NO_EFFECTS, Effects
from sklab.analysis.pareto import COSTS
from sklab.analysis.pareto import front as pareto_front
from sklab.analysis.published import Reproduced, reproduced
from sklab.analysis.sequential import Race
from sklab.analysis.stats import ALPHA
from sklab.records import Reused, RunRecord
from sklab.spec.sweep import PublishedRow, Sweep

if TYPE_CHECKING:
    import pandas as pd

State = Literal["complete", "diverged", "pruned", "failed", "missing"]
Standing = Literal["best", "not distinguishable", "worse", "cannot tell", ""]
Judged = Literal["better", "worse", "undecided", "no test"]
DIGITS = 12  # significant digits in the frame: all that a sum leaves certain, so that machines agree to the byte
TEST_DIGITS = 6  # the same of what series and root finding make: p, their intervals and what is planned from them


@dataclass(frozen=True)
class Run:
    """One planned run of a row. Only a `complete` run has a `value`; the others have a `reason`.

    errors  in % at the sweep's further sizes, by pixels a side, as far as the run has been evaluated there
    """

    seed: int
    key: str
    state: State
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
    baseline            the comparison with the baseline; None on the baseline's own row
    best                the comparison with the row of lowest mean; None on that row
    standing            what the comparison with the best row allows to say
    pareto              the costs (of pareto.COSTS) that it stands on the Pareto set of error and that cost for
    at_size             the error at the sweep's further sizes, by pixels a side; empty for a cell that can't exist
    params, macs        of the network; macs of one forward pass of one image
    latency_ms          of one image, mean over runs; None where not all of them have measured it
    train_seconds, samples_per_second, peak_memory_mb   means over runs
    raced               the verdict against the baseline under repeated looking, in a study with replicates
    invalid             why the cell can't exist, else ""

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
    train_seconds: float | None = None
    samples_per_second: float | None = None
    peak_memory_mb: float | None = None
    published: PublishedRow | None = None
    raced: Judged | None = None
    invalid: str = ""

    @property
    def planned(self) -> int:
        """Runs that the sweep asks for in this cell, ended or not."""
        return len(self.runs)

    @property
    def judged(self) -> Judged | None:
        """What the comparison with the baseline allows to say; None where there is none to make."""
        against = self.baseline
        if self.raced in ("better", "worse", "no test") or against is None or not self.n:
            return self.raced
        if math.isnan(against.adjusted):
            return "no test"
        if self.raced or against.adjusted >= ALPHA:
            return "undecided"
        return "better" if against.difference < 0 else "worse"

    @property
    def seeds_missing(self) -> int | None:
        """Seeds to add until the observed difference would be found with 80 % probability; None: none up to 1000."""
        needed = self.baseline.needed if self.baseline else None
        return None if needed is None or self.baseline is None else max(needed - self.baseline.n, 0)

    @property
    def unfinished(self) -> tuple[Run, ...]:
        """The runs that have no number, each with its reason."""
        return tuple(run for run in self.runs if run.state != "complete")


@dataclass(frozen=True)
class AblationTable:
    """The rows of a study, in the order of its sweep file, cells that can't exist last.

    choice    how the rows are compared with the baseline, and why; None where the sweep has no such row
    effects   main effects and interactions of the factors, or why there are none
    race      of a study with replicates: at how many seeds each cell (in the order of `sweep.cells`) was settled, how
    reused    where runs come from, by key, that were made in another study
    """

    sweep: Sweep
    rows: tuple[Row, ...]
    choice: Choice | None = None
    effects: Effects = NO_EFFECTS
    race: Race | None = None
    reused: Mapping[str, Reused] = field(default_factory=dict)

    @property
    def best(self) -> Row | None:
        """The row of lowest mean, or None while no run is complete."""
        return next((row for row in self.rows if row.standing == "best"), None)

    @property
    def front(self) -> tuple[Row, ...]:
        """Of a search with two objectives the rows on the Pareto set by their means, the cheapest first; else none."""
        against = self.sweep.search.against if self.sweep.search else None
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

    def frame(self) -> pd.DataFrame:
        """The table as data: one line per row with the keys of its runs, means at 12 significant digits, tests at 6."""
        import pandas as pd  # half a second that printing a table does not need

        whole = ("params", "macs", "vs_baseline_n", "vs_baseline_needed", "vs_baseline_missing", "vs_best_n")
        types = dict.fromkeys(whole, "Int64")
        front = self.front
        return pd.DataFrame([_flat(self.sweep, row, front) for row in self.rows]).astype(types if self.rows else {})


def _flat(sweep: Sweep, row: Row, front: tuple[Row, ...]) -> dict[str, Any]:
    measured = {**_result(sweep, row, front), **_sizes(sweep, row), **_cost(row)}
    ours = {**measured, **_published(sweep, row), **_runs(sweep, row)}
    return {"cell": row.name, **_factors(sweep, row, {"cell", *ours}), **ours}


def _factors(sweep: Sweep, row: Row, ours: Set[str]) -> dict[str, str]:
    """The factors under their own names, set apart where one is called like a column of ours."""
    return {f"factor {name}" if name in ours else name: row.factors.get(name, "") for name in sweep.columns}


def _result(sweep: Sweep, row: Row, front: tuple[Row, ...]) -> dict[str, Any]:
    return {
        "is_baseline": row.is_baseline,
        "planned": row.planned,
        "n": row.n,
        "mean": _rounded(row.mean),
        "sd": _rounded(row.sd),
        "half": _rounded(row.half),
        **_numbers(
            "baseline", row.baseline, ("n", "difference", "half", "p", "adjusted", "df", "effect", "detectable")
        ),
        **_told(row),
        **_numbers("best", row.best, ("n", "difference", "half", "p", "adjusted", "df")),
        "standing": row.standing,
        **({"front": row in front} if sweep.search and sweep.search.against else {}),
        **{f"pareto_{cost}": cost in row.pareto for cost in COSTS},
    }


def _numbers(name: str, against: Versus | None, parts: tuple[str, ...]) -> dict[str, float | None]:
    digits = {part: DIGITS if part in ("n", "difference") else TEST_DIGITS for part in parts}
    return {f"vs_{name}_{part}": _rounded(getattr(against, part, None), digits[part]) for part in parts}


def _told(row: Row) -> dict[str, Any]:
    """Of the comparison with the baseline, what is not measured."""
    parts = ("needed", "test", "reason")
    return {
        **{f"vs_baseline_{part}": getattr(row.baseline, part, None) for part in parts},
        "vs_baseline_missing": row.seeds_missing,
        "vs_baseline_verdict": row.judged,
    }


def _sizes(sweep: Sweep, row: Row) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for size in sweep.sizes:
        there = row.at_size.get(size, AtSize(0, None, None))
        numbers = {"n": there.n, "mean": _rounded(there.mean), "half": _rounded(there.half)}
        said |= {f"error_{size}_{part}": number for part, number in numbers.items()}
    return said


def _cost(row: Row) -> dict[str, Any]:
    measured = ("latency_ms", "train_seconds", "samples_per_second", "peak_memory_mb")
    return {"params": row.params, "macs": row.macs, **{name: _rounded(getattr(row, name)) for name in measured}}


def _published(sweep: Sweep, row: Row) -> dict[str, Any]:
    parts = ("error", "params", "gmacs", "verified")
    errors = row.published.errors if row.published else {}
    return {
        "reproduced": row_reproduced(sweep, row),
        **{f"published_{part}": getattr(row.published, part, None) for part in parts},
        **{f"published_error_{size}": errors.get(size) for size in published_sizes(sweep)},
    }


def row_reproduced(sweep: Sweep, row: Row) -> Reproduced:
    """Whether our mean is the published one within the tolerance; "" where the sweep asks for no verdict."""
    return reproduced(sweep, row.name, row.mean, row.half)


def published_sizes(sweep: Sweep) -> tuple[int, ...]:
    """The further sizes that any published error of the sweep is for."""
    rows = sweep.published.rows.values() if sweep.published else ()
    return tuple(sorted({size for row in rows for size in row.errors}))


def _runs(sweep: Sweep, row: Row) -> dict[str, str]:
    return {
        "values": " ".join(f"{run.seed}:{run.value!r}" for run in row.runs if run.value is not None),
        **{f"values_{size}": _errors(row, size) for size in sweep.sizes},
        "runs": " ".join(f"{run.seed}:{run.key}" for run in row.runs),
        "unfinished": "; ".join(f"seed {run.seed} {run.state}: {run.reason}" for run in row.unfinished),
        "invalid": row.invalid,
    }


def _errors(row: Row, size: int) -> str:
    return " ".join(f"{run.seed}:{run.errors[size]!r}" for run in row.runs if size in run.errors)


def _rounded(number: float | None, digits: int = DIGITS) -> float | None:
    return None if number is None or math.isnan(number) else float(f"{number:.{digits}g}")
