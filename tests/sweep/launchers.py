"""Launchers that train nothing, and the start of a study on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from sklab.launch.base import Ended, Job
from sklab.store.measured.scores import Evaluation
from sklab.store.records import Code, RunOrder, RunRecord, Tracking
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan.prepared import Start
from sklab.sweep.run.orders import State
from sklab.sweep.run.runner import run_study


class StandInLauncher:
    """Takes jobs and runs nothing: a subclass's `wait` ends those in `_running`."""

    kind = "fake"

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.submitted: list[Job] = []
        self._running: list[Job] = []

    def submit(self, job: Job) -> None:
        self.submitted.append(job)
        self._running.append(job)

    def adopt(self, jobs: Iterable[Job]) -> list[Job]:
        return []

    def judge(self, job: Job, *, sick: bool) -> str:
        return ""

    def fewer(self) -> bool:
        return False

    def drain(self) -> None: ...

    def stop(self) -> None:
        self._running = []


def write_evaluation(run: RunFolder, order: RunOrder, size: int) -> None:
    numbers = {"image_size": size, "images": 32, "val_error": 9.5, "val_loss": 0.9}
    data = order.spec.experiment.data
    evaluation = Evaluation(key=order.key, data=data, device="cpu", torch="2", **numbers)
    run.evaluation_file(size).write_text(evaluation.model_dump_json())


class FakeLauncher(StandInLauncher):
    """Ends every job as `script` says: an exit code, a record's status, or an exception to raise at submission."""

    evaluates = True
    left_running: tuple[str, ...] = ()

    def __init__(self, script: Callable[[Job, int], str | int] = lambda job, number: "complete", capacity: int = 2):
        super().__init__(capacity)
        self._script = script
        self.most_at_once = self.drained = 0

    def submit(self, job: Job) -> None:
        super().submit(job)
        self.most_at_once = max(self.most_at_once, len(self._running))

    def wait(self, timeout: float) -> list[Ended]:
        job = self._running.pop(0)
        outcome = self._script(job, self.submitted.index(job) if job in self.submitted else 0)
        if isinstance(outcome, int):
            return [Ended(job, outcome)]
        run = RunFolder(job.folder)
        order = run.read_order()
        metrics = {"val_error": 10.0, "val_loss": 1.0}
        ended = run.read_record()
        if ended is None or not ended.final:
            run.write_record(RunRecord.of(order, status=outcome, last=metrics, best=metrics))
        for size in order.sizes if self.evaluates else ():
            write_evaluation(run, order, size)
        return [Ended(job, 0)]

    def adopt(self, jobs: Iterable[Job]) -> list[Job]:
        self._running = [job for job in jobs if job.folder.name in self.left_running]
        return list(self._running)

    def drain(self) -> None:
        self.drained += 1


class Seen:
    def __init__(self) -> None:
        self.records: list[RunRecord] = []
        self.states: list[State] = []
        self.notes: list[str] = []

    def note(self, text: str, state: State) -> None:
        self.notes.append(text)
        self.states.append(state)

    def ended(self, record: RunRecord, state: State) -> None:
        self.records.append(record)
        self.states.append(state)

    def look(self, state: State) -> None:
        self.states.append(state)


class Invented(FakeLauncher):
    """Ends the runs one by one, each as a subclass's `invented` says; is killed after so many of them."""

    def __init__(self, capacity: int = 2, stop_after: int | None = None):
        super().__init__(capacity=capacity)
        self.left = stop_after

    def invented(self, order: RunOrder) -> tuple[str, float] | int:
        """The status and the error of a run, or the exit code of one that leaves no record."""
        raise NotImplementedError

    def wait(self, timeout: float) -> list[Ended]:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left = None if self.left is None else self.left - 1
        job = self._running.pop(0)
        run = RunFolder(job.folder)
        order = run.read_order()
        end = self.invented(order)
        if isinstance(end, int):
            return [Ended(job, end)]
        status, error = end
        numbers = {"val_error": error, "val_loss": 1.0}
        run.write_record(RunRecord.of(order, status=status, last=numbers, best=numbers, wall_seconds=7.0))
        return [Ended(job, 0)]

    @property
    def keys(self) -> set[str]:
        """The keys of the runs that it was given."""
        return {job.folder.name for job in self.submitted}


def in_parts(study: StudyFolder, part: Callable[[], Invented], starts: int) -> list[str]:
    """The keys of the runs made by so many starts at most, of which all but the last are killed. No record is left of
    those of before."""
    for record in study.records():
        study.run(record).record_file.unlink()
    made: list[str] = []
    for _ in range(starts):
        launcher, finished = part(), False
        with suppress(KeyboardInterrupt):
            finished = start(study, launcher)
        made += [key for key in launcher.keys if study.run(key).read_record()]
        if finished:
            return made
    raise AssertionError(f"not finished by {starts} starts")


def start(study: StudyFolder, launcher: FakeLauncher, text: str | None = None, seen: Seen | None = None) -> bool:
    files = study.path.parent.parent
    if text is not None:
        (files / "sweep.yaml").write_text(text)
    sweep = load_sweep(files / "sweep.yaml")
    return run_study(Start(sweep, study, Code(version="1", commit="abc")), launcher, Tracking(), seen or Seen())
