"""The state of a study while and after it runs, from its files alone: reading them never blocks a runner."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from math import inf, isfinite
from statistics import fmean
from typing import NamedTuple

from sklab.analysis.evidence.nuisance import Stage, stage_of
from sklab.analysis.table.replicates import with_requested_runs
from sklab.errors import DamagedRecordError
from sklab.spec.jobs import Pulse
from sklab.spec.run import Seed
from sklab.spec.study.sweep import Cell, Metric, Sweep
from sklab.spec.values import Seq, Value
from sklab.store.measured.metrics import read_epochs
from sklab.store.records import RunOrder, RunRecord, RunState
from sklab.store.run_folder import RunFolder
from sklab.store.states import ENDED_WITH_RUNNER, TO_DO, TROUBLED, begun_at, counts_of, unended_state
from sklab.store.study_folder import StudyFolder
from sklab.sweep.plan.prices import expected_left, packed, start_order, usual_seconds

_ALL_READ: Mapping[str, DamagedRecordError] = {}


class RunStatus(Value):
    """One run. Unknown values are None or "".

    metric             the study's metric at the newest finished epoch or, once ended, by the study's rule
    step, steps        batches that are done of the epoch that a running run is at, and how many it has
    loss               of training, the mean over these
    seconds            since the current attempt was ordered; once it has ended, its wall time
    remaining_seconds  expected seconds until a running run ends
    failure, reason    class and one line, for a run that ended without a result; `log` is its log file
    """

    cell: str
    seed: Seed
    key: str
    state: RunState
    attempt: int = 0
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    loss: float | None = None
    metric: float | None = None
    samples_per_second: float | None = None
    device_name: str = ""
    peak_memory_mb: float | None = None
    seconds: float | None = None
    remaining_seconds: float | None = None
    failure: str = ""
    reason: str = ""
    log: str = ""


class StudyStatus(Value):
    """The state of a study. `live`: a runner is working on it; `counts`: the number of runs in each state.

    unreadable   why the records of further runs can't be read, with the remedy
    eta_seconds  until all is done, estimated from the times of earlier and running runs with the present number of
                 slots; None without a runner, or while no time is known
    tuning       how far nuisance settings are tuned; None where none are
    """

    study: str
    metric: str
    live: bool
    total: int
    counts: dict[RunState, int]
    eta_seconds: float | None
    runs: Seq[RunStatus]
    unreadable: Seq[str] = ()
    tuning: Stage | None = None

    @property
    def running(self) -> list[RunStatus]:
        return [run for run in self.runs if run.state == "running"]

    @property
    def troubled(self) -> list[RunStatus]:
        """The runs that failed, diverged or were stopped, each with its reason."""
        return [run for run in self.runs if run.state in (*TROUBLED, "stopped")]

    @property
    def goes_on(self) -> bool:
        """Whether the next start has something to do and no runner is working on it."""
        return not self.live and any(self.counts[state] for state in TO_DO)


def study_status(
    sweep: Sweep,
    folder: StudyFolder,
    records: Mapping[str, RunRecord],
    moment: float,
    unreadable: Mapping[str, DamagedRecordError] = _ALL_READ,
) -> StudyStatus:
    """The state of every run of the study whose record can be read. `moment` is now, in seconds of `time.time`."""
    final = {key: record for key, record in records.items() if record.final}
    sweep = with_requested_runs(sweep, final)
    since = begun_at(folder)
    live = since < inf
    timed = {key: record for key, record in records.items() if record.wall_seconds >= 0}  # anybody may edit a record
    usual = usual_seconds(sweep, timed)
    runs = tuple(
        _ended(cell, records[key], folder.run(key), sweep.metric)
        if (key := cell.runs[seed]) in records
        else _unended(cell, seed, folder.run(key), sweep.metric, _Look(moment, since, usual))
        for seed in sweep.seeds
        for cell in sweep.cells
        if seed in cell.runs and cell.runs[seed] not in unreadable
    )
    return StudyStatus(
        study=sweep.study,
        metric=sweep.metric.name,
        live=live,
        total=len(runs) + len(unreadable),
        counts={**counts_of(run.state for run in runs), "unreadable": len(unreadable)},
        eta_seconds=_eta(sweep, runs, _to_do(folder, runs, since), usual) if live else None,
        runs=runs,
        unreadable=tuple(map(str, unreadable.values())),
        tuning=stage_of(sweep, final),
    )


class Watcher:
    """Reads the state of a study again and again; the records of runs that have ended for good are read once."""

    def __init__(self, folder: StudyFolder) -> None:
        self._folder = folder
        self._final: dict[str, RunRecord] = {}
        self._written = -1.0

    def look(self, moment: float) -> StudyStatus:
        """The study at `moment`, which is now. Raises DamagedRecordError when there is no study."""
        sweep = self._sweep_now()
        keys = [key for cell in sweep.cells for key in cell.runs.values() if key not in self._final]
        fresh, unreadable = self._folder.readable(keys)
        self._final |= {key: record for key, record in fresh.items() if record.final}
        return study_status(sweep, self._folder, {**self._final, **fresh}, moment, unreadable)

    def _sweep_now(self) -> Sweep:
        """The sweep as it is now: a search adds cells to it."""
        file = self._folder.sweep_file
        written = file.stat().st_mtime if file.exists() else 0.0
        if written != self._written:
            self._sweep, self._written = self._folder.read_sweep(), written
        return self._sweep


def last_metrics(run: RunFolder) -> tuple[int, dict[str, float]]:
    """The newest finished epoch of a run, from 1, with those of its metrics that are numbers; (0, {}) before any."""
    epochs = read_epochs(run.metrics_file)
    return len(epochs), {name: value for name, value in (epochs[-1] if epochs else {}).items() if isfinite(value)}


def _ended(cell: Cell, record: RunRecord, run: RunFolder, metric: Metric) -> RunStatus:
    failed = record.status != "complete"
    return RunStatus(
        cell=cell.name,
        seed=record.spec.seed,
        key=record.key,
        state=record.state,
        attempt=record.attempt,
        epoch=record.epochs,
        epochs=record.spec.experiment.train.epochs,
        metric=record.value(metric),
        samples_per_second=record.samples_per_second or None,
        device_name=record.hardware.device_name if record.hardware else "",
        peak_memory_mb=record.peak_memory_mb or None,
        seconds=record.wall_seconds,
        failure=record.failure or "",
        reason=record.reason,
        log=str(run.log_file) if failed else "",
    )


class _Look(NamedTuple):
    """The present moment, the moment when the runner began, and the usual time of a run by cell; all in seconds."""

    moment: float
    since: float
    usual: Mapping[str, float]


def _unended(cell: Cell, seed: int, run: RunFolder, metric: Metric, look: _Look) -> RunStatus:
    """The status of a run without a record: it is running if a runner is at work and has begun it."""
    key = run.path.name
    state = unended_state(run, look.since)
    order = _order(run) if state == "running" else None
    if order is None:
        reason, log = (ENDED_WITH_RUNNER, str(run.log_file)) if state == "stopped" else ("", "")
        return RunStatus(cell=cell.name, seed=seed, key=key, state=state, reason=reason, log=log)
    ordered, pulse = run.order_file.stat().st_mtime, run.read_pulse()
    epochs = order.spec.experiment.train.epochs
    epoch, metrics = last_metrics(run)
    return RunStatus(
        cell=cell.name,
        seed=seed,
        key=key,
        state="running",
        attempt=run.attempt,
        epoch=epoch,
        epochs=epochs,
        step=pulse.step if pulse else 0,
        steps=pulse.steps if pulse else 0,
        loss=pulse.loss if pulse else None,
        metric=metrics.get(metric.name),
        samples_per_second=(pulse and pulse.samples_per_second) or None,
        device_name=pulse.device_name if pulse else "",
        peak_memory_mb=pulse.peak_memory_mb if pulse else None,
        seconds=max(0.0, look.moment - ordered),
        remaining_seconds=_remaining(look.usual.get(cell.name), epoch, epochs, pulse, metrics.get("seconds")),
    )


def _order(run: RunFolder) -> RunOrder | None:
    with suppress(DamagedRecordError):
        return run.read_order()
    return None


def _remaining(
    usual: float | None, epoch: int, epochs: int, pulse: Pulse | None, trained: float | None
) -> float | None:
    """The seconds that are left, by the usual time of such a run or, if that is unknown, by the run's own pace."""
    begun = pulse.epoch - 1 + pulse.step / pulse.steps if pulse else 0.0
    epochs_left = max(0.0, epochs - max(begun, epoch))
    if usual is not None:
        return usual * epochs_left / epochs
    return trained / epoch * epochs_left if trained is not None and 0 <= trained < inf and epoch else None


def _to_do(folder: StudyFolder, runs: Seq[RunStatus], since: float) -> list[RunStatus]:
    """The runs that the runner, which began at `since`, has still to start."""
    return [run for run in runs if run.state in TO_DO and not _ended_since(folder.run(run.key), since)]


def _ended_since(run: RunFolder, since: float) -> bool:
    try:
        return run.record_file.stat().st_mtime >= since
    except FileNotFoundError:
        return False


def _eta(sweep: Sweep, runs: Seq[RunStatus], to_do: list[RunStatus], usual: Mapping[str, float]) -> float | None:
    """Seconds until all is done, if the runs `to_do` start in their order, each in the first free slot."""
    running = [run for run in runs if run.state == "running"]
    paces = [(run.seconds or 0.0) + run.remaining_seconds for run in running if run.remaining_seconds is not None]
    times = [*usual.values()] or paces
    if not running or not times:
        return None
    average = fmean(times)
    busy = [_left(run, average) for run in running]
    ordered = sorted(to_do, key=lambda run: (sweep.seeds.index(run.seed), *start_order(sweep, run.cell, usual)))
    return packed((usual.get(run.cell, average) for run in ordered), busy)


def _left(run: RunStatus, average: float) -> float:
    return expected_left(average, run.seconds or 0.0) if run.remaining_seconds is None else run.remaining_seconds
