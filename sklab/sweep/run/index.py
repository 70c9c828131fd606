"""The runs of a study that are still to start. Cells of a design are known from the start, a search asks for its cells;
`next` and `tell` are the same for both."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from sklab.analysis.table.replicates import is_pruned, with_requested_runs
from sklab.spec.study.nuisance import is_of_tuning
from sklab.spec.study.sweep import Cell, InvalidCell, Sweep
from sklab.store.records import RunRecord
from sklab.sweep.design.cells import Choice, searched_cell, training
from sklab.sweep.design.space import NO_COSTS, Costs, choices_by_lot, infeasible
from sklab.sweep.plan.prices import start_order
from sklab.sweep.run.study import Trials

_NOTHING_KNOWN: Mapping[str, float] = {}
_MOST_REPEATS = 20  # refused proposals in a row, after which a cell is taken from the rest of the space


@dataclass(frozen=True)
class Todo:
    """A run to be started: the cell, the seed and the key of the run."""

    cell: Cell
    seed: int
    key: str


class StudyIndex:
    """The runs that are left, in order: seed by seed over all cells, so that an unfinished table has every row, and by
    `start_order` among the runs of a seed. A search finishes a cell before it asks for the next.

    `records` holds the runs on disk; the final ones are never handed out. `sweep` has the cells that a search has found
    so far. `costs` are those of the cells that it may find, if it needs to know them. `usual` are the seconds that a
    run of each cell takes, as far as they are known; more may become known later. With replicates or nuisance settings,
    the ended runs decide which further runs are handed out. A run that failed in an earlier start is tried again; one
    that fails in this one is a gap.
    """

    def __init__(
        self,
        file: Path,
        sweep: Sweep,
        records: Mapping[str, RunRecord],
        costs: Costs = NO_COSTS,
        usual: Mapping[str, float] = _NOTHING_KNOWN,
    ) -> None:
        self.sweep = sweep
        self._costs, self._usual = costs, usual
        self._ended = {key: record for key, record in records.items() if record.final}
        self._running: set[str] = set()
        self._cells = {key: cell for cell in sweep.cells for key in cell.runs.values()}
        self._queue = deque(self._requested())
        self._sorted: int | None = None
        names = [cell.name for cell in sweep.cells] if sweep.search else list(self._cells)
        self._trials = Trials(file, sweep, names)
        self._exhausted = False
        self._known = {training(sweep.experiment, cell) for cell in sweep.cells} if sweep.search else set()
        self._reconcile()

    def next(self) -> Todo | None:
        """The next run, or None when there is nothing left to start."""
        if not self._queue and self._searching:
            self._ask()
        if not self._queue:
            return None
        self._sort()
        return self._hand_out(self._queue.popleft())

    def _sort(self) -> None:
        """Sort the queue by seed and, within a seed, by `start_order`; again for each seed, with the times known by
        then."""
        seed = self._queue[0].seed
        if seed != self._sorted and self.sweep.search is None:
            self._queue, self._sorted = deque(sorted(self._queue, key=self._place)), seed

    def _place(self, todo: Todo) -> tuple[int, bool, float]:
        return (self.sweep.seeds.index(todo.seed), *start_order(self.sweep, todo.cell.name, self._usual))

    def take(self, keys: Container[str]) -> list[Todo]:
        """Take the runs of `keys` from the queue of `next`, because they run already."""
        taken = [todo for todo in self._queue if todo.key in keys]
        self._queue = deque(todo for todo in self._queue if todo.key not in keys)
        return [self._hand_out(todo) for todo in taken]

    @property
    def queued(self) -> tuple[str, ...]:
        """The keys of the runs that `next` will hand out before it asks for others."""
        return tuple(todo.key for todo in self._queue)

    @property
    def upcoming(self) -> list[str]:
        """The cells of the runs in `queued`, in this order."""
        return [todo.cell.name for todo in self._queue]

    def tell(self, record: RunRecord) -> None:
        """Record how a run ended. The runs of a pruned cell that were not handed out are dropped."""
        self._ended[record.key] = record
        self._running.discard(record.key)
        cell = self._cells[record.key]
        if record.status == "pruned":
            self._queue = deque(todo for todo in self._queue if todo.cell.name != cell.name)
        if self._is_over(cell, record.key):
            self._tell(cell, record.key)
        tuned = self.sweep.nuisance is not None and is_of_tuning(record.spec.seed)
        if tuned or (self.sweep.replicates and not self._queue and not self._running):
            known = {*self._running, *self.queued}
            self._queue.extend(todo for todo in self._requested() if todo.key not in known)
            self._sorted = None

    @property
    def shortfall(self) -> str:
        """The reason why a search found fewer cells than it should; "" if it did not."""
        search = self.sweep.search
        if search is None or not self._exhausted:
            return ""
        numbers = f"{self._number_found} found, {search.trials} wanted"
        return f"the search space holds no more cells that may be trained: {numbers}"

    @property
    def remaining(self) -> int:
        """The number of runs that `next` will still hand out; a lower bound where ended runs call for others."""
        unasked = self.sweep.search.trials - self._number_found if self.sweep.search and self._searching else 0
        return len(self._queue) + unasked * len(self.sweep.seeds)

    def _hand_out(self, todo: Todo) -> Todo:
        self._running.add(todo.key)
        self._trials.begin(self._name(todo.cell, todo.key), todo.cell)
        return todo

    @property
    def _number_found(self) -> int:
        return sum(cell.name != self.sweep.baseline for cell in self.sweep.cells)

    @property
    def _searching(self) -> bool:
        search = self.sweep.search
        return search is not None and self._number_found < search.trials and not self._exhausted

    def _requested(self) -> list[Todo]:
        """The runs that are requested so far and have not ended."""
        cells = with_requested_runs(self.sweep, self._ended).cells
        pairs = ((cell, seed) for seed in self.sweep.seeds for cell in cells if seed in cell.runs)
        return [Todo(cell, seed, cell.runs[seed]) for cell, seed in pairs if cell.runs[seed] not in self._ended]

    def _ask(self) -> None:
        """Ask the sampler for a new cell that can be trained, and queue its runs.

        When the sampler repeats known cells, take a cell from the rest of the space; the queue stays empty when none
        is left.
        """
        for _ in range(_MOST_REPEATS):
            cell = self._worth_training(self._trials.ask())
            if isinstance(cell, Cell):
                self._trials.take(cell.name)
                self._add(cell)
                return
            self._refuse(cell)
        self._search_rest()

    def _search_rest(self) -> None:
        """Queue the first cell that can be trained, starting at a random place in the space."""
        refused: list[InvalidCell] = []
        for choice in choices_by_lot(self.sweep, self._number_found):
            cell = self._worth_training(choice)
            if isinstance(cell, Cell):
                self._add(cell)
                break
            refused += [cell] if cell is not None else []
        else:
            self._exhausted = True
        self._note(refused)

    def _note(self, refused: Iterable[InvalidCell]) -> None:
        """Keep the refused cells, with their reasons, for the table."""
        names = {cell.name for cell in self.sweep.invalid}
        new = tuple(cell for cell in refused if cell.name not in names)
        if new:
            self.sweep = self.sweep.model_copy(update={"invalid": (*self.sweep.invalid, *new)})

    def _worth_training(self, choice: Choice) -> Cell | InvalidCell | None:
        """The cell with these levels, or the reason why it can't be trained; None when the study has it already, or has
        another cell with the same network."""
        cell = searched_cell(self.sweep, choice)
        if isinstance(cell, InvalidCell):
            return cell
        if why := infeasible(self.sweep, cell.name, self._costs):
            return InvalidCell(name=cell.name, factors=cell.factors, reason=why)
        return None if training(self.sweep.experiment, cell) in self._known else cell

    def _refuse(self, cell: InvalidCell | None) -> None:
        """Report to the sampler that a proposal is not trained, and keep the reason for the table."""
        self._note([cell] if cell is not None else [])
        limits = self.sweep.search.constraints if self.sweep.search else None
        if cell is not None and limits is not None and cell.name in self._costs:
            self._trials.find_infeasible(limits.excess(self._costs[cell.name]))
        else:
            self._trials.turn_down()

    def _add(self, cell: Cell) -> None:
        self.sweep = self.sweep.model_copy(update={"cells": (*self.sweep.cells, cell)})
        self._known.add(training(self.sweep.experiment, cell))
        self._cells |= dict.fromkeys(cell.runs.values(), cell)
        self._queue.extend(Todo(cell, seed, key) for seed, key in cell.runs.items())

    def _name(self, cell: Cell, key: str) -> str:
        """The name of a trial: the key of its run or, in a search, its cell."""
        return cell.name if self.sweep.search else key

    def _is_over(self, cell: Cell, key: str) -> bool:
        """Whether the trial's run (or cell) has finished."""
        if self.sweep.search is None:
            return key in self._ended
        return not self._running & set(cell.runs.values()) and all(todo.cell.name != cell.name for todo in self._queue)

    def _tell(self, cell: Cell, key: str) -> None:
        pruned = self.sweep.search is not None and is_pruned(cell, self._ended)
        self._trials.tell(self._name(cell, key), None if pruned else self._values(cell, key), pruned=pruned)

    def _values(self, cell: Cell, key: str) -> list[float] | None:
        """The objectives of the run or, in a search, their means over the cell's complete runs; None without any."""
        keys = cell.runs.values() if self.sweep.search else [key]
        records = [record for key in keys if (record := self._ended.get(key)) and record.status == "complete"]
        errors = [value for record in records if (value := record.value(self.sweep.metric)) is not None]
        second = self.sweep.search.second_objective if self.sweep.search else None
        if not errors:
            return None
        return [fmean(errors)] + ([float(getattr(records[0], second))] if second else [])

    def _reconcile(self) -> None:
        """Add to the journal the finished trials that it lacks, from the records."""
        in_journal = self._trials.ended
        with self._trials.at_once():
            for cell in self.sweep.cells:
                keys = list(cell.runs.values())
                for key in keys[:1] if self.sweep.search else keys:
                    if self._name(cell, key) not in in_journal and self._is_over(cell, key):
                        self._enter(cell, key)

    def _enter(self, cell: Cell, key: str) -> None:
        """Enter a finished trial that is missing or open in the journal; in a search through `ask`, so that the sampler
        advances."""
        name, values = self._name(cell, key), self._values(cell, key)
        if self.sweep.search or self._trials.is_open(name):
            self._trials.begin(name, cell)
            self._tell(cell, key)
        elif values is not None:
            self._trials.add(key, cell, values)
