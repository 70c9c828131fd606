from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from launchers import StandInLauncher

from sklab.errors import SklabError, StudyLockedError
from sklab.folders import RunFolder, StudyFolder
from sklab.launch.base import Ended, Job
from sklab.records import Code, Evaluation, RunOrder, RunRecord, Tracking
from sklab.spec.check import CheckResult, Finding
from sklab.sweep import runner
from sklab.sweep.load import load_sweep
from sklab.sweep.runner import State, run_study

SEARCH = """\
experiment: toy.yaml
design: search
seeds: 1
baseline: {r: 4, L: 8}
search: {sampler: random, trials: 2}
factors:
  r: {path: model.reduction, levels: [2, 4, 8]}
  L: {path: model.min_dim, levels: [4, 8]}
"""


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


@pytest.fixture(autouse=True)
def _sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "ensure_sound", lambda *_: None)


@pytest.fixture
def study(toy_files: Path) -> StudyFolder:
    return StudyFolder(toy_files / "results" / "sweep")


def start(study: StudyFolder, launcher: FakeLauncher, text: str | None = None, seen: Seen | None = None) -> bool:
    files = study.path.parent.parent
    if text is not None:
        (files / "sweep.yaml").write_text(text)
    sweep = load_sweep(files / "sweep.yaml")
    return run_study(sweep, study, launcher, Code(version="1", commit="abc"), Tracking(), seen or Seen())


def test_all_runs_are_made_and_slots_are_filled(study):
    launcher, seen = FakeLauncher(), Seen()
    assert start(study, launcher, seen=seen)
    assert len(launcher.submitted) == 4
    assert launcher.most_at_once == 2
    assert [state.done for state in seen.states if state.done][-1] == 4
    assert all(state.total == 4 for state in seen.states)
    order = RunFolder(launcher.submitted[0].folder).read_order()
    assert (order.study, order.code.commit, order.key) == ("sweep", "abc", launcher.submitted[0].folder.name)
    assert order.spec.key == order.key


def test_the_same_again_starts_nothing(study):
    assert start(study, FakeLauncher())
    launcher = FakeLauncher()
    assert start(study, launcher)
    assert launcher.submitted == []


def test_a_killed_run_becomes_a_record_and_the_others_go_on(study):
    launcher, seen = FakeLauncher(lambda _, number: -9 if number == 1 else "complete"), Seen()
    assert not start(study, launcher, seen=seen)
    [failed] = [record for record in seen.records if record.status == "failed"]
    assert (failed.failure, failed.reason) == ("killed", "the process of the run was killed by SIGKILL")
    assert study.run(failed.key).read_record() == failed
    assert len(seen.records) == 4
    again = FakeLauncher()
    assert start(study, again)
    assert [job.folder.name for job in again.submitted] == [failed.key]


def test_a_process_that_leaves_without_a_record_is_a_failure(study):
    seen = Seen()
    start(study, FakeLauncher(lambda _, number: 3 if number == 0 else "complete"), seen=seen)
    assert seen.records[0].reason == "the process of the run ended with exit code 3"


def test_a_diverged_run_is_a_result_that_is_not_repeated(study):
    assert not start(study, FakeLauncher(lambda _, number: "diverged" if number == 0 else "complete"))
    again = FakeLauncher()
    assert not start(study, again)
    assert again.submitted == []


def test_a_second_runner_is_sent_away(study):
    study.path.mkdir(parents=True)
    with study.lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StudyLockedError, match="another runner"):
            start(study, FakeLauncher())
    assert not study.sweep_file.exists()
    assert start(study, FakeLauncher())


def test_runners_that_die_one_after_another_still_finish_the_study(study):
    class Dead(BaseException):
        pass

    def dies(_: Job, number: int) -> str:
        if number == 1:
            raise Dead
        return "complete"

    finished: list[str] = []
    for _ in range(3):
        launcher = FakeLauncher(dies, capacity=1)
        with pytest.raises(Dead):
            start(study, launcher)
        finished.append(launcher.submitted[0].folder.name)
    assert start(study, FakeLauncher())
    assert len(study.records()) == 4
    assert len(set(finished)) == 3, "no finished run was made again"


def test_more_seeds_run_only_what_is_missing(study):
    start(study, FakeLauncher())
    text = (study.path.parent.parent / "sweep.yaml").read_text().replace("seeds: 2", "seeds: 3")
    launcher = FakeLauncher()
    assert start(study, launcher, text)
    assert len(launcher.submitted) == 2
    assert {RunFolder(job.folder).read_order().spec.seed for job in launcher.submitted} == {2}


def with_sizes(study: StudyFolder, sizes: str = "[32]") -> str:
    text = (study.path.parent.parent / "sweep.yaml").read_text()
    return f"{text.split('sizes:')[0]}sizes: {sizes}\n"


def test_a_size_added_later_is_evaluated_and_nothing_is_trained_again(study):
    start(study, FakeLauncher())
    before = {key: study.run(key).record_file.read_bytes() for key in study.records()}
    launcher, seen = FakeLauncher(), Seen()
    assert start(study, launcher, with_sizes(study), seen)
    assert len(launcher.submitted) == 4
    assert RunFolder(launcher.submitted[0].folder).read_order().sizes == (32,)
    assert {key: study.run(key).record_file.read_bytes() for key in study.records()} == before
    assert (seen.records, len(seen.notes)) == ([], 4)
    assert seen.notes[0] == "K3, seed 0, at 32 px: val_error 9.50 %"
    assert all(state.total == 4 for state in seen.states)
    assert (seen.states[-1].done, seen.states[-1].remaining) == (4, 0)
    again = FakeLauncher()
    assert start(study, again)
    assert again.submitted == []


def test_a_run_killed_between_record_and_evaluation_stays_complete_and_is_only_evaluated(study):
    class Dying(FakeLauncher):
        evaluates = False

    seen = Seen()
    assert not start(study, Dying(), with_sizes(study), seen), "what lacks an evaluation is not finished"
    assert [record.status for record in seen.records] == ["complete"] * 4
    assert all("not evaluated, see" in note and note.endswith("log.txt") for note in seen.notes)
    missing = FakeLauncher(lambda _, number: -9 if number == 0 else "complete")
    assert not start(study, missing), "killed again: nothing but the evaluation is lost"
    assert [record.status for record in study.records().values()] == ["complete"] * 4
    last = FakeLauncher()
    assert start(study, last)
    assert [job.folder for job in last.submitted] == [missing.submitted[0].folder]


def test_what_is_to_be_trained_goes_before_what_lacks_an_evaluation(study):
    start(study, FakeLauncher(lambda _, number: "failed" if number == 3 else "complete"))
    [failed] = [key for key, record in study.records().items() if record.status == "failed"]
    launcher = FakeLauncher()
    study.run(failed).record_file.unlink()
    assert start(study, launcher, with_sizes(study))
    assert launcher.submitted[0].folder.name == failed
    assert len(launcher.submitted) == 4


def test_the_index_hears_of_an_evaluated_run_once(study):
    start(study, FakeLauncher())
    start(study, FakeLauncher(), with_sizes(study))
    assert [study.index_file.read_text().count(key) for key in study.records()] == [1] * 4


def test_a_full_disk_stops_the_study_and_loses_nothing(study, monkeypatch):
    def full(self: RunFolder, order: object) -> None:
        if len(study.records()) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, order)

    write = RunFolder.write_order
    monkeypatch.setattr(RunFolder, "write_order", full)
    with pytest.raises(OSError, match="No space"):
        start(study, FakeLauncher(capacity=1))
    monkeypatch.setattr(RunFolder, "write_order", write)
    launcher = FakeLauncher()
    assert start(study, launcher)
    assert len(launcher.submitted) == 2


def test_a_damaged_record_is_set_aside_and_its_run_repeated(study):
    start(study, FakeLauncher())
    damaged = next(iter(study.records()))
    study.run(damaged).record_file.write_text('{"key": ')
    launcher = FakeLauncher()
    with pytest.warns(UserWarning, match="set aside"):
        assert start(study, launcher)
    assert [job.folder.name for job in launcher.submitted] == [damaged]
    assert study.run(damaged).record_file.with_suffix(".damaged").exists()


def test_the_cells_of_a_search_stand_in_the_study_and_are_found_again(study):
    assert start(study, FakeLauncher(), SEARCH)
    cells = study.read_sweep().cells
    assert len(cells) == 3
    launcher = FakeLauncher()
    assert start(study, launcher)
    assert launcher.submitted == []
    assert study.read_sweep().cells == cells


def test_wrong_arithmetic_is_refused_before_anything_is_trained(study, monkeypatch):
    class Checking(FakeLauncher):
        def wait(self, timeout: float) -> list[Ended]:
            job = self.submitted[-1]
            assert job.task == "check"
            asked = json.loads((job.folder / "check.json").read_text())
            assert len(asked["networks"]) == 2
            bad = Finding(
                convolution="3x3 D2",
                precision="bf16",
                memory_format="channels_last",
                ok=False,
                forward_error=1e-3,
                weight_error=-1.0,
                input_error=2.0,
            )
            result = CheckResult(device="cpu", torch="2.13.0", findings=(bad,))
            (job.folder / "result.json").write_text(result.model_dump_json())
            return [Ended(job, 0)]

    monkeypatch.undo()
    launcher = Checking()
    with pytest.raises(SklabError, match=r"remedy: use train\.memory_format: contiguous"):
        start(study, launcher)
    assert study.records() == {}
    cached = Checking()
    with pytest.raises(SklabError, match="not a number"):
        start(study, cached)
    assert cached.submitted == [], "the answer is kept"


def test_data_that_are_not_there_are_refused_before_anything_is_trained_and_looked_for_anew(study, monkeypatch):
    class Looking(FakeLauncher):
        faults: tuple[str, ...] = ("/data: no such folder", "the val split has no images")

        def wait(self, timeout: float) -> list[Ended]:
            job = self.submitted[-1]
            result = CheckResult(device="cpu", torch="2.13.0", findings=(), data_faults=self.faults)
            (job.folder / "result.json").write_text(result.model_dump_json())
            return [Ended(job, 0)]

    monkeypatch.undo()
    for _ in range(2):
        launcher = Looking()
        with pytest.raises(SklabError, match=r"nothing was trained:\n  /data: no such folder\n  the val split has no"):
            start(study, launcher)
        job = launcher.submitted[-1]
        (asked,) = json.loads((job.folder / "check.json").read_text())["data"]
        assert asked["data"]["name"] == "scaled_digits"
    assert study.records() == {}


class Interrupted(FakeLauncher):
    """Sends a signal to this process while the first run works, and ends every run as asked."""

    def __init__(self, *numbers: signal.Signals) -> None:
        super().__init__(lambda *_: -signal.SIGTERM if self.drained else "complete")
        self._numbers = list(numbers)

    def wait(self, timeout: float) -> list[Ended]:
        for number in self._numbers:
            os.kill(os.getpid(), number)
        self._numbers.clear()
        return super().wait(timeout)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_once_it_starts_nothing_more_and_waits_for_what_runs(study, number):
    launcher, seen = Interrupted(number), Seen()
    with pytest.raises(KeyboardInterrupt):
        start(study, launcher, seen=seen)
    assert (launcher.drained, len(launcher.submitted)) == (1, 2)
    assert [note.partition(":")[0] for note in seen.notes] == ["stopping"]
    assert [(record.status, record.failure) for record in seen.records] == [("complete", None), ("failed", "preempted")]
    again = FakeLauncher()
    assert start(study, again)
    assert len(again.submitted) == 3
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_asked_twice_it_waits_for_nothing(study):
    launcher = Interrupted(signal.SIGTERM, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        start(study, launcher)
    assert launcher.drained == 0
    assert study.records() == {}


def test_the_time_left_counts_what_runs_already():
    state = State(done=2, failed=0, remaining=2, capacity=2, running=((None, None, 4.0),), durations=(10.0, 10.0))
    assert state.eta_seconds == pytest.approx((6 + 20) / 2)
    assert state.total == 5


def test_runs_that_outlived_their_runner_are_taken_over_and_not_started_again(study):
    first = FakeLauncher()
    start(study, first)
    left, lost = (job.folder.name for job in first.submitted[2:])
    for key in (left, lost):
        study.run(key).record_file.unlink()
    launcher, seen = FakeLauncher(capacity=1), Seen()
    launcher.left_running = (left,)
    assert start(study, launcher, seen=seen)
    assert [job.folder.name for job in launcher.submitted] == [lost]
    assert {record.key for record in seen.records} == {left, lost}
    assert all(state.total == 4 for state in seen.states)


def test_more_runs_may_be_taken_over_than_are_started_at_a_time(study):
    first = FakeLauncher()
    start(study, first)
    for job in first.submitted:
        RunFolder(job.folder).record_file.unlink()
    launcher = FakeLauncher(capacity=1)
    launcher.left_running = tuple(job.folder.name for job in first.submitted)
    assert start(study, launcher)
    assert launcher.submitted == []
