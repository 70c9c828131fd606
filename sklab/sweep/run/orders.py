"""The orders for the runs of a study, the state of a running study, and the protocol of its display."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from sklab.spec.run import Experiment, RunSpec
from sklab.spec.study.sweep import Sweep
from sklab.store.records import RunOrder, RunRecord, RunState, Tracking
from sklab.store.run_folder import RunFolder
from sklab.sweep.design.cells import run_spec
from sklab.sweep.plan.prepared import Prepared
from sklab.sweep.run.index import Todo


class Orders:
    """Makes the orders of one runner: all have its code, its tracking and the fingerprints of the data as they are
    now."""

    def __init__(self, study: Prepared, tracking: Tracking) -> None:
        self._code, self._held, self._tracking = study.start.code, study.held, tracking
        self._experiments: dict[str, Experiment] = {}
        self.reading = False  # whether all runs have ended, and orders are for the test split

    def of(self, sweep: Sweep, todo: Todo) -> RunOrder:
        """The order for the run `todo` of `sweep`."""
        spec = self._spec(sweep, todo)
        return RunOrder(
            key=todo.key,
            study=sweep.study,
            cell=todo.cell.name,
            factors=todo.cell.factors,
            spec=spec,
            code=self._code,
            tracking=self._tracking,
            sizes=sweep.sizes,
            metrics=sweep.further_metrics,
            own_metrics=sweep.own_metrics,
            fingerprint=self._held.fingerprint(spec.trained.data),
            keep_best=spec.experiment.data.has_test and sweep.metric.epoch == "best",
            test=sweep.metric.epoch if self.reading and spec.experiment.data.has_test else None,
        )

    def _spec(self, sweep: Sweep, todo: Todo) -> RunSpec:
        """The specification of a run. The seeds of a cell share one experiment, which takes time and memory."""
        if todo.cell.name not in self._experiments:
            self._experiments[todo.cell.name] = run_spec(sweep, todo.cell, todo.seed).experiment
        return RunSpec(experiment=self._experiments[todo.cell.name], seed=todo.seed)


@dataclass(frozen=True)
class State:
    """A study at a moment, with the number of runs in each state. `running` pairs each run with the seconds since it
    was submitted; `eta_seconds` are the seconds until all is done, None while no run's time is known."""

    counts: Mapping[RunState, int]
    capacity: int
    running: tuple[tuple[RunOrder, RunFolder, float], ...]
    eta_seconds: float | None

    @property
    def total(self) -> int:
        """All runs of the study, ended ones included."""
        return sum(self.counts.values())


class Progress(Protocol):
    """Shows the progress of a study. `ended` is called once per trained run, `note` for other messages, `look` about
    once a second."""

    def ended(self, record: RunRecord, state: State) -> None: ...

    def note(self, text: str, state: State) -> None: ...

    def look(self, state: State) -> None: ...
