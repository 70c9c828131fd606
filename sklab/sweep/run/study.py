"""The study in Optuna. Only this module and that of its journal know Optuna.

The journal on disk is an index of the records: it is rebuilt from them whenever it is missing, torn or of another
space. A trial of a designed study is a run; one of a search is a cell, and its values are means over the
cell's seeds. One process (this one) owns the journal.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sklab.spec.study.search import Search
from sklab.spec.study.sweep import Cell, Sweep
from sklab.sweep.design.cells import Choice
from sklab.sweep.run.journal import Journal, is_whole

logging.getLogger("optuna").setLevel(logging.WARNING)

_NAME = "run"  # the user attribute with the name of the trial's run or cell
_BEGUN = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)
_DIRECTIONS = {"lower": StudyDirection.MINIMIZE, "higher": StudyDirection.MAXIMIZE}
_PARENTS = 5  # generations of NSGA-II: each has this part of the trials
_FEWEST_PARENTS = 4


class Trials:
    """The trials of a study by name (the key of the run, or the cell in a search). Trials that a killed runner left
    open stay open if they are in `names`; the others fail."""

    def __init__(self, file: Path, sweep: Sweep, names: Iterable[str]) -> None:
        self._search = sweep.search
        self._distributions = _distributions(sweep)
        self._factors = tuple(sweep.factors)
        self._journal, self._study = _open(file, sweep, self._distributions)
        self._proposed = 0  # proposals since the last trial was begun or refused by constraints
        self._open: dict[str, int] = {}
        self._asked: optuna.Trial | None = None
        self._end_left(set(names))
        self._count = len(self._study.get_trials(deepcopy=False))

    def at_once(self) -> AbstractContextManager[None]:
        """Hold back what is written to the journal until the block ends; then write all of it."""
        return self._journal.at_once()

    @property
    def ended(self) -> frozenset[str]:
        """The names of the trials that have ended with objectives or were pruned."""
        trials = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        return frozenset(trial.user_attrs[_NAME] for trial in trials if _NAME in trial.user_attrs)

    def ask(self) -> Choice:
        """The sampler's next proposal. The caller calls `take`, `turn_down` or `find_infeasible` before it asks again.

        The proposal depends only on the search's seed and on the trials begun, so that a search that was killed
        continues as if it had not been; for `qmc` the position in its sequence is kept as well.
        """
        assert self._search is not None
        begun = len(self._study.get_trials(deepcopy=False, states=_BEGUN))
        self._study.sampler = _sampler(self._search, begun, self._proposed)
        self._proposed += 1
        self._asked, self._count = self._study.ask(dict(self._distributions)), self._count + 1
        return dict(self._asked.params)

    def take(self, name: str) -> None:
        """The last proposal becomes a trial of this name."""
        trial = self._pop_asked()
        trial.set_user_attr(_NAME, name)
        self._open[name], self._proposed = trial.number, 0

    def turn_down(self) -> None:
        """Record that the last proposal is known already or invalid."""
        self._study.tell(self._pop_asked(), state=TrialState.FAIL)

    def find_infeasible(self, excess: Mapping[str, float]) -> None:
        """Record that the last proposal breaks constraints; `excess` is the excess over each limit (above 0, as
        Optuna counts it)."""
        trial = self._pop_asked()
        for constraint, value in excess.items():
            trial.set_constraint(constraint, value)
        self._study.tell(trial, state=TrialState.PRUNED)
        self._proposed = 0

    def is_open(self, name: str) -> bool:
        return name in self._open

    def begin(self, name: str, cell: Cell) -> None:
        """Open a trial with the cell's own levels, unless one is open.

        In a search the trial is enqueued and asked for, so that the sampler learns of it. Nothing else is ever
        enqueued, so `ask` never returns such a trial. The time grows with the number of trials, as Optuna goes through
        all of them.
        """
        if name in self._open:
            return
        if self._search is None:
            self._add(name, cell, state=TrialState.RUNNING)
        else:
            self._study.enqueue_trial(self._levels(cell), user_attrs={_NAME: name})
            self._study.ask(dict(self._distributions))
            self._count, self._proposed = self._count + 1, 0
        self._open[name] = self._count - 1

    def tell(self, name: str, values: Sequence[float] | None, *, pruned: bool = False) -> None:
        """End a trial with its objectives; None if it failed."""
        state = TrialState.PRUNED if pruned else TrialState.FAIL if values is None else TrialState.COMPLETE
        self._study.tell(self._open.pop(name), None if pruned else values, state=state)

    def add(self, name: str, cell: Cell, values: Sequence[float]) -> None:
        """Add a trial that has ended and is not in the journal."""
        self._add(name, cell, values)

    def _add(
        self, name: str, cell: Cell, values: Sequence[float] | None = None, state: TrialState = TrialState.COMPLETE
    ) -> None:
        """Create a trial without `optuna.create_trial`, which would compare all levels with themselves and so double
        the time."""
        now = datetime.now(UTC)
        trial = FrozenTrial(
            number=-1, trial_id=-1, state=state, value=None, values=values, datetime_start=now,
            datetime_complete=now if state.is_finished() else None, params=self._levels(cell),
            distributions=dict(self._distributions), user_attrs={_NAME: name}, system_attrs={}, intermediate_values={},
        )  # fmt: skip
        self._study.add_trial(trial)
        self._count += 1

    def _levels(self, cell: Cell) -> dict[str, Any]:
        return {name: cell.factors[name] for name in self._factors} if self._factors else {"cell": cell.name}

    def _pop_asked(self) -> optuna.Trial:
        trial, self._asked = self._asked, None
        assert trial is not None
        return trial

    def _end_left(self, names: set[str]) -> None:
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.WAITING, TrialState.RUNNING)):
            name = trial.user_attrs.get(_NAME)
            if trial.state == TrialState.RUNNING and name in names and self._has_levels(trial):
                self._open[name] = trial.number
            else:
                self._drop(trial)

    def _has_levels(self, trial: FrozenTrial) -> bool:
        return trial.params.keys() == self._distributions.keys()

    def _drop(self, trial: FrozenTrial) -> None:
        if trial.state == TrialState.WAITING:  # left by a runner that was killed between two lines
            self._study.ask(dict(self._distributions))
        self._study.tell(trial.number, state=TrialState.FAIL)


def _distributions(sweep: Sweep) -> dict[str, BaseDistribution]:
    """One categorical parameter per factor over the names of its levels; for a list of cells, the cell's name."""
    if not sweep.factors:
        return {"cell": CategoricalDistribution([cell.name for cell in sweep.cells])}
    return {name: CategoricalDistribution(list(factor.levels)) for name, factor in sweep.factors.items()}


def _open(file: Path, sweep: Sweep, distributions: Mapping[str, BaseDistribution]) -> tuple[Journal, optuna.Study]:
    """The study in `file`; a new one where the file is missing, torn or of another space, as a space in Optuna can't
    grow."""
    space = _space(sweep, distributions)
    if is_whole(file):
        with contextlib.suppress(Exception):  # whatever Optuna can't read is in the records
            journal, study = _load(file, sweep)
            if study.user_attrs.get("space") == space:
                return journal, study
    file.unlink(missing_ok=True)
    journal, study = _load(file, sweep)
    study.set_user_attr("space", space)
    return journal, study


def _space(sweep: Sweep, distributions: Mapping[str, BaseDistribution]) -> dict[str, str]:
    """The properties that all trials of a journal share: the parameters, and the meaning of their values."""
    space = {name: repr(distribution) for name, distribution in distributions.items()} | {"metric": repr(sweep.metric)}
    if sweep.search is None:
        return space
    settings = sweep.search.model_dump(include={"objectives", "constraints", "pruning"})
    return space | {"seeds": repr(sweep.seeds), "search": repr(settings)}


def _load(file: Path, sweep: Sweep) -> tuple[Journal, optuna.Study]:
    journal = Journal(str(file))
    of_cost = [StudyDirection.MINIMIZE] if sweep.search and sweep.search.second_objective else []
    study = optuna.create_study(
        storage=JournalStorage(journal),
        sampler=_sampler(sweep.search, 0, 0) if sweep.search else RandomSampler(seed=0),
        study_name=sweep.study,
        directions=[_DIRECTIONS[sweep.metric.measure.better], *of_cost],
        load_if_exists=True,
    )
    return journal, study


def _sampler(search: Search, begun: int, proposed: int) -> BaseSampler:
    """The sampler of the next proposal; `proposed` counts the proposals since the last of the `begun` trials.

    All proposals share one quasi-random sequence; the journal keeps the position in it.
    """
    seed = int(np.random.SeedSequence([search.seed, begun, proposed]).generate_state(1)[0])
    if search.sampler == "random":
        return RandomSampler(seed=seed)
    if search.sampler == "nsga2":
        return NSGAIISampler(population_size=max(_FEWEST_PARENTS, search.trials // _PARENTS), seed=seed)
    if search.sampler == "qmc":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return QMCSampler(scramble=True, seed=search.seed, warn_independent_sampling=False)
    return TPESampler(seed=seed)
