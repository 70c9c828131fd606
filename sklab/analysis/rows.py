"""The ablation table as a value: rows, the runs under each of them, and the whole as a data frame."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sklab.analysis.sequential import Race
from sklab.records import RunRecord
from sklab.spec.sweep import PublishedRow, Sweep

if TYPE_CHECKING:
    import pandas as pd

State = Literal["complete", "diverged", "failed", "missing"]
Standing = Literal["best", "not distinguishable", "worse", "cannot tell", ""]
DIGITS = 12  # significant digits in the frame: all that a sum leaves certain, so that machines agree to the byte


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
class Comparison:
    """A row minus a reference row over the `n` seeds they share. None: too few seeds, or no spread between them.

    `p` is of the two-sided paired t test, `adjusted` the same after Holm over all rows of the table.
    """

    n: int
    mean: float | None
    half: float | None
    p: float | None
    adjusted: float | None


@dataclass(frozen=True)
class Row:
    """One cell. Numbers are over its complete runs and None where there is nothing to say.

    mean, half          of the sweep's metric, with the half width of its 95 % t interval
    baseline            the comparison with the baseline; None on the baseline's own row
    best                the comparison with the row of lowest mean; None on that row
    standing            what the comparison with the best row allows to say
    at_size             the error at the sweep's further sizes, by pixels a side; empty for a cell that can't exist
    params, macs        of the network; macs of one forward pass of one image
    train_seconds, samples_per_second, peak_memory_mb   means over runs
    invalid             why the cell can't exist, else ""
    """

    name: str
    factors: Mapping[str, str]
    settings: Mapping[str, Any]
    is_baseline: bool
    runs: tuple[Run, ...]
    n: int = 0
    mean: float | None = None
    half: float | None = None
    baseline: Comparison | None = None
    best: Comparison | None = None
    standing: Standing = ""
    at_size: Mapping[int, AtSize] = field(default_factory=dict)
    params: int | None = None
    macs: int | None = None
    train_seconds: float | None = None
    samples_per_second: float | None = None
    peak_memory_mb: float | None = None
    published: PublishedRow | None = None
    invalid: str = ""

    @property
    def planned(self) -> int:
        return len(self.runs)

    @property
    def unfinished(self) -> tuple[Run, ...]:
        """The runs that have no number, each with its reason."""
        return tuple(run for run in self.runs if run.state != "complete")


@dataclass(frozen=True)
class AblationTable:
    """The rows of a study, in the order of its sweep file, cells that can't exist last.

    race  of a study with replicates: at how many seeds each cell (in the order of `sweep.cells`) was settled, and how
    """

    sweep: Sweep
    rows: tuple[Row, ...]
    race: Race | None = None

    @property
    def best(self) -> Row | None:
        """The row of lowest mean, or None while no run is complete."""
        return next((row for row in self.rows if row.standing == "best"), None)

    def frame(self) -> pd.DataFrame:
        """The table as data: one line per row, every number at 12 significant digits, with the keys of its runs."""
        import pandas as pd  # half a second that printing a table does not need

        types = {"params": "Int64", "macs": "Int64", "vs_baseline_n": "Int64", "vs_best_n": "Int64"}
        return pd.DataFrame([_flat(self.sweep, row) for row in self.rows]).astype(types if self.rows else {})


def _flat(sweep: Sweep, row: Row) -> dict[str, Any]:
    ours = {**_result(row), **_sizes(sweep, row), **_cost(row), **_published(sweep, row), **_runs(sweep, row)}
    return {"cell": row.name, **_factors(sweep, row, {"cell", *ours}), **ours}


def _factors(sweep: Sweep, row: Row, ours: Set[str]) -> dict[str, str]:
    """The factors under their own names, set apart where one is called like a column of ours."""
    return {f"factor {name}" if name in ours else name: row.factors.get(name, "") for name in sweep.columns}


def _result(row: Row) -> dict[str, Any]:
    return {
        "is_baseline": row.is_baseline,
        "planned": row.planned,
        "n": row.n,
        "mean": _rounded(row.mean),
        "half": _rounded(row.half),
        **_comparison("baseline", row.baseline),
        **_comparison("best", row.best),
        "standing": row.standing,
    }


def _comparison(name: str, comparison: Comparison | None) -> dict[str, float | None]:
    parts = ("n", "mean", "half", "p", "adjusted")
    return {f"vs_{name}_{part}": _rounded(getattr(comparison, part, None)) for part in parts}


def _sizes(sweep: Sweep, row: Row) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for size in sweep.sizes:
        there = row.at_size.get(size, AtSize(0, None, None))
        numbers = {"n": there.n, "mean": _rounded(there.mean), "half": _rounded(there.half)}
        said |= {f"error_{size}_{part}": number for part, number in numbers.items()}
    return said


def _cost(row: Row) -> dict[str, Any]:
    measured = ("train_seconds", "samples_per_second", "peak_memory_mb")
    return {"params": row.params, "macs": row.macs, **{name: _rounded(getattr(row, name)) for name in measured}}


def _published(sweep: Sweep, row: Row) -> dict[str, Any]:
    parts = ("error", "params", "gmacs", "verified")
    errors = row.published.errors if row.published else {}
    return {
        **{f"published_{part}": getattr(row.published, part, None) for part in parts},
        **{f"published_error_{size}": errors.get(size) for size in published_sizes(sweep)},
    }


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


def _rounded(number: float | None) -> float | None:
    return None if number is None else float(f"{number:.{DIGITS}g}")
