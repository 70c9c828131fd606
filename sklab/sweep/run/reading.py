"""The reading of the test split by a runner, once every run has ended for good. Nothing of it is known to anybody who
chooses epochs, cells or seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sklab.analysis.table.replicates import with_requested_runs
from sklab.errors import SklabError
from sklab.spec.run import RunSpec
from sklab.spec.study.nuisance import is_of_tuning
from sklab.spec.study.sweep import Sweep
from sklab.store.dated import keep_reading, lacks_test, what_is_read
from sklab.store.records import RunOrder, RunRecord, now
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import run_spec
from sklab.sweep.plan.trained_data import has_test
from sklab.sweep.run.index import Todo
from sklab.sweep.run.orders import Orders
from sklab.system.terminal import quantity


def begin_reading(
    sweep: Sweep, folder: StudyFolder, orders: Orders, remaining: int, note: Callable[[str], None]
) -> list[Todo]:
    """The complete runs that lack their evaluation on the test split; `orders` then ask for it, and the study's folder
    knows of the reading. None while a run is left, of the `remaining` ones or a failed one that is tried again."""
    if not has_test(sweep):
        return []
    final = {key: record for key, record in _records(sweep, folder).items() if record.final}
    planned = _planned(sweep, final)
    if left := max(remaining, sum(todo.key not in final for todo in planned)):
        command = f"`sklab evaluate {folder.argument} --test` reads it where failed runs are given up"
        note(f"the test split is read once every run has ended for good, and {left} have not; {command}")
        return []
    orders.reading = True
    what = dict(_unread(sweep, folder, orders, _judged(planned), final))
    if what:
        keep_reading(folder, what, now)
        note(f"every run has ended: the test split is read with the weights of {quantity(len(what), 'run')}")
    return [todo for todo in planned if todo.key in what]


def orders_for_test(folder: StudyFolder) -> list[RunOrder]:
    """The orders that ask the runs of an ended study for their evaluation on the test split. Raises SklabError where
    there is no test split, and while a run has not ended; a failed one has."""
    sweep = folder.read_sweep()
    records = _records(sweep, folder)
    planned = _planned(sweep, {key: record for key, record in records.items() if record.final})
    if not has_test(sweep):
        raise SklabError(f"{folder.path}: its data have no test split; data.test names one")
    if left := sum(todo.key not in records or records[todo.key].state == "stopped" for todo in planned):
        wait = "the test split is read once every run has ended; go on with `sklab sweep`"
        raise SklabError(f"{folder.path}: {left} of {len(planned)} runs have not ended; {wait}")
    complete = [todo for todo in _judged(planned) if records[todo.key].status == "complete"]
    return [_order(folder, run_spec(sweep, todo.cell, todo.seed), sweep) for todo in complete]


def _planned(sweep: Sweep, final: dict[str, RunRecord]) -> list[Todo]:
    """The runs that the final records call for, ended or not."""
    cells = with_requested_runs(sweep, final).cells
    return [Todo(cell, seed, key) for cell in cells for seed, key in cell.runs.items()]


def _judged(todos: list[Todo]) -> list[Todo]:
    """Those on which cells are judged."""
    return [todo for todo in todos if not is_of_tuning(todo.seed)]


def _order(folder: StudyFolder, spec: RunSpec, sweep: Sweep) -> RunOrder:
    """The run's last order, for the data as the study was started with last."""
    rule = sweep.metric.epoch if spec.experiment.data.has_test else None
    return folder.run(spec.key).read_order().model_copy(update={"spec": spec, "test": rule})


def _records(sweep: Sweep, folder: StudyFolder) -> dict[str, RunRecord]:
    return folder.records(key for cell in sweep.cells for key in cell.runs.values())


def _unread(
    sweep: Sweep, folder: StudyFolder, orders: Orders, todos: list[Todo], final: dict[str, RunRecord]
) -> Iterator[tuple[str, str]]:
    """The keys of the runs to evaluate, each with what is read."""
    for todo in todos:
        record, order = final[todo.key], orders.of(sweep, todo)
        if order.test and lacks_test(folder.run(todo.key), record, order):
            yield todo.key, what_is_read(order)
