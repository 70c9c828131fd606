"""A study whose runs end as a script says."""

from __future__ import annotations

from collections.abc import Callable

from launchers import StandInLauncher

from sklab.launch.base import Ended, Job
from sklab.launch.worker import begin
from sklab.store.records import Code, RunOrder, RunRecord, Tracking
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan.prepared import Start
from sklab.sweep.run.orders import State
from sklab.sweep.run.runner import run_study

Script = Callable[[RunOrder, int], dict[str, object] | int | None]
METRICS = {"val_error": 10.0, "val_loss": 1.0}
BUG = {"status": "failed", "failure": "code", "reason": "boom", "traceback": "Traceback\n  in f\nValueError: boom\n"}
OOM = {"status": "failed", "failure": "oom", "reason": "out of memory"}


class Scripted(StandInLauncher):
    """Ends each attempt of a run as `script(order, attempt)` says: fields of its record, an exit code, or None for a
    run that hangs. Without it, every run is complete."""

    def __init__(self, script: Script = lambda *_: {}, capacity: int = 1) -> None:
        super().__init__(capacity)
        self._script = script
        self.orders: list[RunOrder] = []

    def submit(self, job: Job) -> None:
        super().submit(job)
        self.orders.append(RunFolder(job.folder).read_order())

    def wait(self, timeout: float) -> list[Ended]:
        job = self._running.pop(0)
        run = RunFolder(job.folder)
        order = run.read_order()
        begin(job)
        outcome = self._script(order, run.attempt)
        if not isinstance(outcome, dict):
            return [Ended(job, -9 if outcome is None else outcome, hung=outcome is None)]
        fields = {"status": "complete", "last": METRICS, "best": METRICS, "attempt": run.attempt, **outcome}
        run.write_record(RunRecord.of(order, **fields))
        return [Ended(job, 0)]

    def fewer(self) -> bool:
        before, self.capacity = self.capacity, max(1, self.capacity // 2)
        return self.capacity < before


class Told:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.records: list[RunRecord] = []

    def note(self, text: str, state: State) -> None:
        self.notes.append(text)

    def ended(self, record: RunRecord, state: State) -> None:
        self.records.append(record)

    def look(self, state: State) -> None:
        pass


def start(study: StudyFolder, launcher: Scripted, told: Told | None = None, most: int = 3) -> bool:
    sweep = load_sweep(study.path.parent.parent / "sweep.yaml")
    return run_study(Start(sweep, study, Code(version="1")), launcher, Tracking(), told or Told(), max_identical=most)


def is_first(order: RunOrder) -> bool:
    return (order.cell, order.spec.seed) == ("K3", 0)
