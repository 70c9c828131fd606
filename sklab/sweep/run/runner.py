"""The loop of a study: take the next run, submit it, wait for one to end, record how it ended. A free slot is refilled
at once."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from sklab.errors import SklabError
from sklab.launch.base import Ended, Job, Launcher
from sklab.store.dated import keep_plan, lacks_evaluation, lacks_test
from sklab.store.records import RunOrder, RunRecord, RunState, Tracking, now
from sklab.store.run_folder import RunFolder
from sklab.store.states import ensure_still_there, how_it_ended, study_lock
from sklab.sweep.plan.prepared import Prepared, Start, prepare
from sklab.sweep.plan.prices import time_left
from sklab.sweep.plan.trained_data import ensure_same, keep_inventories
from sklab.sweep.run import failures
from sklab.sweep.run.failures import MAX_IDENTICAL, Retries, Tracebacks
from sklab.sweep.run.index import Todo
from sklab.sweep.run.orders import Orders, Progress, State
from sklab.sweep.run.preflight import ensure_sound
from sklab.sweep.run.reading import begin_reading
from sklab.sweep.run.work import Work, find_work, left_before
from sklab.sweep.state.named import logs_command
from sklab.system.processes import stop_requests

_MANY = 100  # runs
_LOOK_EVERY = 1.0  # seconds between two looks at the running runs' metrics
_DONE = ("complete", "pruned")  # a pruned run has not failed: it was asked to end


def run_study(
    start: Start, launcher: Launcher, tracking: Tracking, progress: Progress, max_identical: int = MAX_IDENTICAL
) -> bool:
    """Run what is missing of a sweep; each run is written as it ends. Returns whether all runs are now complete and
    evaluated at the sweep's sizes and by its metrics. No further run starts once `max_identical` runs ended with the
    same traceback.

    The same call continues where this one was stopped. Raises StudyLockedError while another runner has the
    study, SklabError when the machine computes wrong gradients for it, its folder has gone or finished runs would leave
    its table, OSError when results can't be written.
    """
    folder = start.folder
    folder.path.mkdir(parents=True, exist_ok=True)
    with study_lock(folder):
        study = prepare(start)
        ensure_same(folder, study.records.values(), study.held)
        keep_plan(folder, study.sweep, now)
        folder.write_sweep(study.sweep)
        keep_inventories(folder, study.held)
        study, work = find_work(study, launcher)
        notices: list[str] = []
        if work.index.remaining or work.unevaluated:
            study = _checked(study, launcher, notices.append)
        runner = _Runner(study, work, launcher, Orders(study, tracking), progress, Tracebacks(max_identical))
        for notice in notices:
            runner.note(notice)
        return runner.run()


def _checked(study: Prepared, launcher: Launcher, notice: Callable[[str], None]) -> Prepared:
    """The study with the data that the machines of its runs hold. Raises SklabError if nothing can be trained there."""
    held = ensure_sound(study.sweep, launcher, study.folder.path.parent, notice)
    study = replace(study, held=study.held.completed(held))
    ensure_same(study.folder, study.records.values(), study.held)
    keep_inventories(study.folder, study.held)
    return study


class _Runner:
    def __init__(
        self,
        study: Prepared,
        work: Work,
        launcher: Launcher,
        orders: Orders,
        progress: Progress,
        tracebacks: Tracebacks,
    ) -> None:
        records = study.records
        self._index, self._folder, self._launcher = work.index, study.folder, launcher
        self._orders, self._progress = orders, progress
        self._running: dict[RunFolder, tuple[RunOrder, float]] = {}
        self._unevaluated, self._trained_before = deque(work.unevaluated), {todo.key for todo in work.unevaluated}
        self._retries, self._tracebacks, self._pruner = Retries(launcher, records), tracebacks, work.pruner
        self._again: deque[RunOrder] = deque()
        self._lacks_evaluations = self._draining = False
        self._ended = Counter(record.state for record in records.values() if record.final)
        self._left_before = left_before(study.folder, work.index.queued, records)
        self._incomplete = any(record.final and record.status not in _DONE for record in records.values())
        self._usual = work.usual
        self._written = work.index.sweep

    def note(self, text: str) -> None:
        """Show a message."""
        self._progress.note(text, self._state())

    def run(self) -> bool:
        self._adopt()
        with stop_requests() as requests:
            self._work(requests)
            if not requests and self._begin_reading():
                self._work(requests)
            self._keep_sweep()
            if self._index.shortfall:
                self.note(self._index.shortfall)
            if requests:
                raise KeyboardInterrupt
        self._ensure_device_left()
        return not (self._incomplete or self._lacks_evaluations)

    def _work(self, requests: Sequence[object]) -> None:
        self._fill()
        while self._running:
            for ended in self._launcher.wait(_LOOK_EVERY):
                self._end(ended)
            if requests:
                self._drain()
            else:
                self._fill()
                self._prune()
            self._progress.look(self._state())

    def _begin_reading(self) -> bool:
        """Have the test split read, if it is time; whether a run is evaluated on it."""
        unread = begin_reading(self._index.sweep, self._folder, self._orders, self._index.remaining, self.note)
        self._unevaluated.extend(unread)
        self._trained_before |= {todo.key for todo in unread}
        return bool(unread)

    def _adopt(self) -> None:
        """Take over the runs of an earlier runner that are still running, rather than start them again."""
        adopted = self._launcher.adopt(Job("train", self._folder.run(key).path) for key in self._index.queued)
        for todo in self._index.take({job.folder.name for job in adopted}):
            self._left_before.pop(todo.key, None)
            self._running[self._folder.run(todo.key)] = (self._retries.start(self._order(todo)), time.monotonic())

    def _drain(self) -> None:
        """Ask the running runs, once, to end with a checkpoint."""
        if not self._draining:
            self._draining = True
            self.note(_draining(len(self._running)))
            self._launcher.drain()

    def _prune(self) -> None:
        """Ask the runs that look worse than others to end. A run that ends before it reads the request is complete."""
        running = [(order, run) for run, (order, _) in self._running.items() if order.key not in self._trained_before]
        for order, run, why in self._pruner.look(running) if self._pruner else ():
            run.ask_to_prune(why)
            self.note(f"{order.cell}, seed {order.spec.seed}: to be pruned: {why}")

    def _fill(self) -> None:
        while len(self._running) < self._launcher.capacity and not self._tracebacks.enough:
            if self._again:
                self._start(self._again.popleft())
            elif todo := self._next():
                self._keep_sweep()
                self._start(self._order(todo))
            else:
                return

    def _next(self) -> Todo | None:
        """The next run to train or else the next that lacks only an evaluation: time estimates need trainings."""
        return self._index.next() or (self._unevaluated.popleft() if self._unevaluated else None)

    def _keep_sweep(self) -> None:
        """Write down the cells that a search has found before the first run of one of them starts."""
        if self._index.sweep is not self._written:
            self._written = self._index.sweep
            self._folder.write_sweep(self._written)

    def _order(self, todo: Todo) -> RunOrder:
        return self._orders.of(self._index.sweep, todo)

    def _start(self, order: RunOrder) -> None:
        ensure_still_there(self._folder)
        order, run = self._retries.start(order), self._folder.run(order.key)
        run.write_order(order)
        self._left_before.pop(order.key, None)
        self._launcher.submit(Job("train", run.path))
        self._running[run] = (order, time.monotonic())

    def _end(self, ended: Ended) -> None:
        ensure_still_there(self._folder)
        run = RunFolder(ended.job.folder)
        order, _ = self._running.pop(run)
        record = run.read_record() or self._write_record(order, run, ended)
        record = record.with_shared_experiment(order.spec.experiment)
        if not self._draining and (how := self._retries.again(order, record, run.checkpoint_step)):
            self._try_again(order, record)
            self.note(f"{order.cell}, seed {order.spec.seed}: {how_it_ended(record)}; tried again: {how}")
        else:
            self._record_end(order, run, record)
        self._judge(ended.job, record)

    def _try_again(self, order: RunOrder, record: RunRecord) -> None:
        """Put the run before those that have not begun; behind one of them where a device is said to be at fault: that
        one shows whether it is."""
        if record.failure == "device" and (todo := self._index.next()):
            self._keep_sweep()
            self._again.append(self._order(todo))
        self._again.append(order)
        self._left_before[order.key] = record.state

    def _judge(self, job: Job, record: RunRecord) -> None:
        """Let the launcher know whether the device of a run that has ended is to be trusted."""
        sick = record.failure == "device"
        if (sick or record.status == "complete") and (text := self._launcher.judge(job, sick=sick)):
            self.note(text)

    def _ensure_device_left(self) -> None:
        """Raise SklabError where runs are left and every device is given up."""
        if not self._launcher.capacity and (self._again or self._index.remaining or self._unevaluated):
            raise SklabError(failures.NO_DEVICE_LEFT)

    def _record_end(self, order: RunOrder, run: RunFolder, record: RunRecord) -> None:
        """Record how a run ended for good."""
        if record.key not in self._trained_before:
            self._ended[record.state] += 1
            self._index.tell(record)
        if record.status == "pruned":  # the index may have dropped the other runs of its cell
            remaining = {*self._index.queued, *(order.key for order in self._again)}
            self._left_before = {key: state for key, state in self._left_before.items() if key in remaining}
        if self._pruner:
            self._pruner.ended(record)
        self._incomplete = self._incomplete or record.status not in _DONE
        if record.status == "complete":
            self._usual[record.cell] = record.wall_seconds
        if record.key not in self._trained_before:
            self._progress.ended(record, self._state())
        self._note_traceback(record)
        self._note_evaluations(order, run, record)

    def _note_traceback(self, record: RunRecord) -> None:
        if text := self._tracebacks.add(record):
            self.note(text)
        if text and self._tracebacks.enough:
            self.note("nothing more is started: the same error would come again; mend it first")

    def _write_record(self, order: RunOrder, run: RunFolder, ended: Ended) -> RunRecord:
        """Write the record of a run whose process ended without one; returns it."""
        out_of_memory, deleted = self._retries.killed_for_memory(order.key), not run.order_file.exists()
        record = failures.record_of(order, ended, run.attempt, out_of_memory=out_of_memory, deleted=deleted)
        if deleted:
            run.write_order(order)
        run.write_record(record)
        return record

    def _note_evaluations(self, order: RunOrder, run: RunFolder, record: RunRecord) -> None:
        who, untested = f"{order.cell}, seed {order.spec.seed}", lacks_test(run, record, order)
        why = f"see {logs_command(self._folder, order.cell, order.spec.seed)}"
        self._lacks_evaluations = self._lacks_evaluations or lacks_evaluation(run, record, order)
        if untested:
            self.note(f"{who}: not evaluated on the test split, {why}")
        if names := run.missing_metrics(record, order.metrics):
            self.note(f"{who}: not evaluated by {', '.join(names)}, {why}")
        for size in order.sizes if record.status == "complete" else ():
            evaluation = run.read_evaluation(size)
            result = f"val_error {evaluation.val_error:.2f} %" if evaluation else f"not evaluated, {why}"
            self.note(f"{who}, at {size} px: {result}")

    def _state(self) -> State:
        moment = time.monotonic()
        running = tuple((order, run, moment - since) for run, (order, since) in self._running.items())
        begun = Counter(self._left_before.values())
        new = sum(order.key not in self._trained_before for order, _ in self._running.values())
        waiting = self._index.remaining + len(self._again) - begun.total()
        counts = self._ended + begun + Counter[RunState]({"running": new, "waiting": waiting})
        return State(counts, self._launcher.capacity, running, self._eta(running))

    def _eta(self, running: tuple[tuple[RunOrder, RunFolder, float], ...]) -> float | None:
        """Seconds until all is done. Of many waiting runs only the number counts: their order hardly matters yet."""
        remaining = self._index.remaining
        named = self._index.upcoming if remaining <= _MANY else []
        waiting = [*(order.cell for order in self._again), *named]
        ages = ((order.cell, age) for order, _, age in running)
        return time_left(ages, waiting, remaining - len(named), self._usual, self._launcher.capacity)


def _draining(runs: int) -> str:
    runs_end = "1 run writes a checkpoint and ends" if runs == 1 else f"{runs} runs write a checkpoint and end"
    return f"stopping: {runs_end}, and the same command goes on from there; Ctrl-C again: at once, without a checkpoint"
