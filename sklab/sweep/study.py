"""The study as Optuna sees it: the only module that knows Optuna.

Designed cells are entered, searched cells are asked for; whoever calls `next` can't tell the difference. The
journal on disk is an index of the records: it is rebuilt from them whenever it is missing, torn or about another
set of levels. One run is one trial, and one process (this one) owns the journal.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections import deque
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from sklab.analysis.replicates import called
from sklab.records import RunRecord
from sklab.spec.sweep import Cell, InvalidCell, Sweep
from sklab.sweep.design import searched_cell

logging.getLogger("optuna").setLevel(logging.WARNING)

_RUN = "run"  # the user attribute that ties a trial to the key of its run
_MOST_REPEATS = 50  # cells known already that a sampler may propose in a row before its space counts as exhausted


@dataclass(frozen=True)
class Todo:
    """A run to be started: the cell, the seed and the key of the run."""

    cell: Cell
    seed: int
    key: str


class StudyIndex:
    """What is still to run, in order: seed by seed over all cells, so that an unfinished table has every row.

    `records` holds the runs on disk; those of them that are final are never handed out. `sweep` is the sweep with
    the cells that a search has found so far. With replicates, runs are handed out as far as those ended call for them;
    one that failed before is tried again first, one that fails now is a gap.
    """

    def __init__(self, file: Path, sweep: Sweep, records: Mapping[str, RunRecord]) -> None:
        self.sweep = sweep
        self._records = dict(records)
        self._distributions = _distributions(sweep)
        self._journal, self._study = _open(file, sweep, self._distributions)
        self._running: dict[str, optuna.Trial | int] = {}
        self._reconcile()
        self._trials = len(self._study.get_trials(deepcopy=False))
        self._ended = {key: record for key, record in records.items() if record.final}
        self._queue = deque(self._called())
        self._asked: dict[str, optuna.Trial] = {}
        self._exhausted = False

    def next(self) -> Todo | None:
        """The next run, or None when there is nothing left to start."""
        if not self._queue and self._searching:
            self._ask()
        if not self._queue:
            return None
        return self._hand_out(self._queue.popleft())

    def take(self, keys: Container[str]) -> list[Todo]:
        """Those runs of `keys` that `next` would still hand out: they run already."""
        taken = [todo for todo in self._queue if todo.key in keys]
        self._queue = deque(todo for todo in self._queue if todo.key not in keys)
        return [self._hand_out(todo) for todo in taken]

    @property
    def queued(self) -> tuple[str, ...]:
        """The keys of the runs that `next` will hand out before it asks for others."""
        return tuple(todo.key for todo in self._queue)

    def _hand_out(self, todo: Todo) -> Todo:
        asked = todo.key in self._asked
        self._running[todo.key] = self._asked.pop(todo.key) if asked else self._begin(todo.cell, todo.key)
        return todo

    def tell(self, record: RunRecord) -> None:
        """Enter how a run ended."""
        self._records[record.key] = record
        trial, value = self._running.pop(record.key), self._value(record.key)
        self._study.tell(trial, value, state=TrialState.FAIL if value is None else None)
        self._ended[record.key] = record
        if self.sweep.replicates and not self._queue and not self._running:
            self._queue.extend(self._called())

    @property
    def remaining(self) -> int:
        """Runs that `next` will still hand out; for a search and with replicates, at least."""
        unasked = self.sweep.search.trials - self._found if self.sweep.search and self._searching else 0
        return len(self._queue) + unasked * len(self.sweep.seeds)

    @property
    def _found(self) -> int:
        return sum(cell.name != self.sweep.baseline for cell in self.sweep.cells)

    @property
    def _searching(self) -> bool:
        search = self.sweep.search
        return search is not None and self._found < search.trials and not self._exhausted

    def _called(self) -> list[Todo]:
        """The runs that are needed as far as is known, and have not ended."""
        cells = called(self.sweep, self._ended).cells
        pairs = ((cell, seed) for seed in self.sweep.seeds for cell in cells if seed in cell.runs)
        return [Todo(cell, seed, cell.runs[seed]) for cell, seed in pairs if cell.runs[seed] not in self._ended]

    def _ask(self) -> None:
        """Ask the sampler for a new, valid cell and queue its runs; the queue stays empty if it has none."""
        for _ in range(_MOST_REPEATS):
            trial = self._study.ask(self._distributions)
            self._trials = trial.number + 1
            cell = searched_cell(self.sweep, trial.params)
            if isinstance(cell, InvalidCell):
                self._note_invalid(cell)
            elif cell.name not in {known.name for known in self.sweep.cells}:
                self._take(cell, trial)
                return
            self._study.tell(trial, state=TrialState.FAIL)
        self._exhausted = True

    def _take(self, cell: Cell, trial: optuna.Trial) -> None:
        self.sweep = self.sweep.model_copy(update={"cells": (*self.sweep.cells, cell)})
        todos = [Todo(cell, seed, key) for seed, key in cell.runs.items()]
        trial.set_user_attr(_RUN, todos[0].key)
        self._asked[todos[0].key] = trial
        self._queue.extend(todos)

    def _note_invalid(self, cell: InvalidCell) -> None:
        if cell not in self.sweep.invalid:
            self.sweep = self.sweep.model_copy(update={"invalid": (*self.sweep.invalid, cell)})

    def _begin(self, cell: Cell, key: str) -> int:
        """The number of a new trial of the cell's own levels, which runs. Enqueued and asked for, it would take the
        longer the more trials there are: Optuna looks through all of them for the next in its queue."""
        self._add(cell, key, state=TrialState.RUNNING)
        self._trials += 1
        return self._trials - 1

    def _reconcile(self) -> None:
        """Bring the journal up to the records: end what no longer runs, add what it has not heard of."""
        trials = self._study.get_trials(deepcopy=False)
        told = {trial.user_attrs.get(_RUN) for trial in trials if trial.state == TrialState.COMPLETE}
        for trial in trials:
            if trial.state == TrialState.RUNNING:
                self._study.tell(trial.number, state=TrialState.FAIL)
        with self._journal.at_once():
            for cell in self.sweep.cells:
                for key in cell.runs.values():
                    value = self._value(key)
                    if value is not None and key not in told:
                        self._add(cell, key, value=value)

    def _value(self, key: str) -> float | None:
        """The run's number, if it is complete."""
        record = self._records.get(key)
        return record.value(self.sweep.metric) if record is not None and record.status == "complete" else None

    def _add(self, cell: Cell, key: str, **ended: Any) -> None:
        levels = _levels(self.sweep, cell)
        trial = optuna.create_trial(params=levels, distributions=self._distributions, user_attrs={_RUN: key}, **ended)
        self._study.add_trial(trial)


class _Journal(JournalFileBackend):
    """A journal that can write many lines at once: each by itself is a lock and a flush of the disk."""

    _held: list[dict[str, Any]] | None = None
    _written = 0  # lines in the file while others are held back

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        if self._held is None:
            super().append_logs(logs)
        else:
            self._held += logs

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]  # it is iterated
        if self._held is None:
            return super().read_logs(log_number_from)
        assert log_number_from >= self._written, "what is in the file was read before"
        return iter(self._held[log_number_from - self._written :])

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Hold back what is written meanwhile; all of it is in the file at the end."""
        self._written, self._held = sum(1 for _ in super().read_logs(0)), []
        try:
            yield
        finally:
            held, self._held = self._held, None
            if held:
                super().append_logs(held)


def _distributions(sweep: Sweep) -> dict[str, BaseDistribution]:
    """One categorical parameter per factor over the names of its levels; for a list of cells, the cell's name."""
    if not sweep.factors:
        return {"cell": CategoricalDistribution([cell.name for cell in sweep.cells])}
    return {name: CategoricalDistribution(list(factor.levels)) for name, factor in sweep.factors.items()}


def _levels(sweep: Sweep, cell: Cell) -> dict[str, Any]:
    return {name: cell.factors[name] for name in sweep.factors} if sweep.factors else {"cell": cell.name}


def _open(file: Path, sweep: Sweep, distributions: Mapping[str, BaseDistribution]) -> tuple[_Journal, optuna.Study]:
    """The study in `file`, or a new one where that is torn, of another space (Optuna's can't grow) or not there."""
    space = {name: repr(distribution) for name, distribution in distributions.items()} | {"metric": repr(sweep.metric)}
    file.with_name(file.name + ".lock").unlink(missing_ok=True)  # a killed runner's; it would block us for 30 s
    if _is_whole(file):
        with contextlib.suppress(Exception):  # whatever Optuna finds wrong with it, the records hold the truth
            journal, study = _load(file, sweep)
            if study.user_attrs.get("space") == space:
                return journal, study
    file.unlink(missing_ok=True)
    journal, study = _load(file, sweep)
    study.set_user_attr("space", space)
    return journal, study


def _load(file: Path, sweep: Sweep) -> tuple[_Journal, optuna.Study]:
    journal = _Journal(str(file))
    storage = JournalStorage(journal)
    study = optuna.create_study(storage=storage, study_name=sweep.study, direction="minimize", load_if_exists=True)
    # Seeded by what is there already, so that a resumed search goes on instead of repeating its first proposals.
    study.sampler = _sampler(sweep, len(study.get_trials(deepcopy=False)))
    return journal, study


def _sampler(sweep: Sweep, begun: int) -> optuna.samplers.BaseSampler:
    if sweep.search is None or sweep.search.sampler == "random":
        return optuna.samplers.RandomSampler(seed=(sweep.search.seed if sweep.search else 0) + begun)
    return optuna.samplers.TPESampler(seed=sweep.search.seed + begun)


def _is_whole(file: Path) -> bool:
    """Whether every line of the journal is a record; an append to a torn one would destroy what follows."""
    try:
        text = file.read_text(encoding="utf-8")
        return text.endswith("\n") and all(isinstance(json.loads(line), dict) for line in text.splitlines())
    except (OSError, ValueError):
        return False
