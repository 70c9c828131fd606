"""What a sweep will do and what it has done: told before, while and after it runs, from the files alone."""

from __future__ import annotations

import csv
import fcntl
from collections.abc import Callable, Mapping
from statistics import fmean

from sklab.records import RunFolder, RunRecord, StudyFolder
from sklab.spec.budget import Cost, OffBudget, off_budget
from sklab.spec.run import Experiment, Seed
from sklab.spec.sweep import Cell, Fraction, InvalidCell, Sweep
from sklab.spec.values import Seq, Value
from sklab.sweep.design import run_spec
from sklab.sweep.reuse import offers


class PlannedCell(Value):
    """A row of the plan. `params` and `macs` (multiply-accumulates per image) are counted, not measured."""

    name: str
    params: int
    macs: int
    done: int
    diverged: int
    failed: int
    missing: int


class Plan(Value):
    """`missing` counts runs to train, failed ones included; for a search, `asked` more cells will be asked for.

    `unevaluated` counts complete runs that lack an evaluation at a size of the sweep. `seconds` is the estimated wall
    time of `missing` for `slots` runs at a time, None before any run of the study is finished. `off_budget` are the
    cells that the sweep's claim of equal budget does not hold for. `reused` of `missing` another study has finished.
    """

    study: str
    seeds: Seq[Seed]
    fraction: Fraction | None
    cells: Seq[PlannedCell]
    invalid: Seq[InvalidCell]
    asked: int
    done: int
    missing: int
    unevaluated: int
    slots: int
    seconds: float | None
    off_budget: Seq[OffBudget] = ()
    reused: int = 0


def make_plan(sweep: Sweep, folder: StudyFolder, slots: int, cost: Callable[[Experiment], tuple[int, int]]) -> Plan:
    """The plan of a sweep over what lies in `folder`; `cost` gives parameters and multiply-accumulates."""
    records = study_records(sweep, folder)
    cells = tuple(_planned(sweep, cell, records, cost) for cell in sweep.cells)
    found = sum(cell.name != sweep.baseline for cell in sweep.cells)
    asked = sweep.search.trials - found if sweep.search else 0
    missing = sum(cell.missing for cell in cells) + asked * len(sweep.seeds)
    return Plan(
        study=sweep.study,
        seeds=sweep.seeds,
        fraction=sweep.fraction,
        cells=cells,
        invalid=sweep.invalid,
        asked=asked,
        done=sum(cell.done for cell in cells),
        missing=missing,
        unevaluated=sum(bool(folder.run(key).lacking(record, sweep.sizes)) for key, record in records.items()),
        slots=slots,
        seconds=_estimate(sweep, records, asked, slots),
        off_budget=off_budget(
            sweep.equal_budget,
            {cell.name: Cost(params=cell.params, macs=cell.macs) for cell in cells},
            sweep.baseline,
        ),
        reused=len(offers(sweep, folder, records)),
    )


def study_records(sweep: Sweep, folder: StudyFolder) -> dict[str, RunRecord]:
    """The records on disk of the runs that belong to the sweep."""
    return folder.records(key for cell in sweep.cells for key in cell.runs.values())


def _planned(
    sweep: Sweep, cell: Cell, records: Mapping[str, RunRecord], cost: Callable[[Experiment], tuple[int, int]]
) -> PlannedCell:
    params, macs = cost(run_spec(sweep, cell, sweep.seeds[0]).experiment)
    states = [records[key].status if key in records else "missing" for key in cell.runs.values()]
    return PlannedCell(
        name=cell.name,
        params=params,
        macs=macs,
        done=states.count("complete"),
        diverged=states.count("diverged"),
        failed=states.count("failed"),
        missing=states.count("missing") + states.count("failed"),
    )


def _estimate(sweep: Sweep, records: Mapping[str, RunRecord], asked: int, slots: int) -> float | None:
    """Seconds to the end: each missing run takes what its own cell took so far, or else what an average run took."""
    finished = [record for record in records.values() if record.status == "complete"]
    if not finished:
        return None
    average = fmean(record.wall_seconds for record in finished)
    total = asked * len(sweep.seeds) * average
    for cell in sweep.cells:
        mine = [records[key] for key in cell.runs.values() if key in records]
        own = [record.wall_seconds for record in mine if record.status == "complete"]
        missing = len(cell.runs) - sum(record.final for record in mine)
        total += missing * (fmean(own) if own else average)
    return total / slots


class RunningRun(Value):
    """A run that is being trained: its newest metrics and how many of its epochs are done."""

    cell: str
    seed: Seed
    epoch: int
    epochs: int
    metrics: dict[str, float]


class Failure(Value):
    """A run that has ended without a result."""

    cell: str
    seed: Seed
    status: str
    failure: str
    reason: str
    log: str


class StudyStatus(Value):
    """How a study stands. `live`: a runner is working on it; `missing` counts runs not begun."""

    study: str
    live: bool
    total: int
    done: int
    missing: int
    running: Seq[RunningRun]
    failures: Seq[Failure]


def study_status(sweep: Sweep, folder: StudyFolder) -> StudyStatus:
    """The state of every run of the study, from its files."""
    records = study_records(sweep, folder)
    live = is_live(folder)
    keys = [key for cell in sweep.cells for key in cell.runs.values()]
    running = [run for key in keys if live and key not in records and (run := _running(folder.run(key)))]
    failures = [_failure(record, folder.run(key)) for key, record in records.items() if record.status != "complete"]
    return StudyStatus(
        study=sweep.study,
        live=live,
        total=len(keys),
        done=len(records) - len(failures),
        missing=len(keys) - len(records) - len(running),
        running=tuple(running),
        failures=tuple(failures),
    )


def is_live(folder: StudyFolder) -> bool:
    """Whether a runner holds the study's lock at this moment."""
    try:
        with folder.lock_file.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def last_metrics(run: RunFolder) -> tuple[int, dict[str, float]]:
    """The newest finished epoch of a run, from 1, with its metrics; (0, {}) before any."""
    try:
        rows = list(csv.DictReader(run.metrics_file.read_text(encoding="utf-8").splitlines()))
        newest = {name: float(value) for name, value in rows[-1].items()}
    except (OSError, ValueError, TypeError, IndexError):  # not there yet, or its last line is being written
        return 0, {}
    return int(newest.pop("epoch")), newest


def _running(run: RunFolder) -> RunningRun | None:
    if not run.order_file.exists():
        return None
    order = run.read_order()
    epoch, metrics = last_metrics(run)
    epochs = order.spec.experiment.train.epochs
    return RunningRun(cell=order.cell, seed=order.spec.seed, epoch=epoch, epochs=epochs, metrics=metrics)


def _failure(record: RunRecord, run: RunFolder) -> Failure:
    return Failure(
        cell=record.cell,
        seed=record.spec.seed,
        status=record.status,
        failure=record.failure or "",
        reason=record.reason,
        log=str(run.log_file),
    )
