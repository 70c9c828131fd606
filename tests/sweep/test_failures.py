"""A study among failures: what is tried again, what stops it, `sklab retry`, and faults of disks and machines."""

from __future__ import annotations

import contextlib
import errno
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from launchers import StandInLauncher

from sklab import cli
from sklab.errors import SklabError, StudyLockedError
from sklab.folders import StudyFolder
from sklab.launch.base import Ended, Job
from sklab.launch.worker import begin
from sklab.locks import alone
from sklab.records import Code, RunOrder, RunRecord, Tracking
from sklab.report import build, words
from sklab.run_folder import RunFolder
from sklab.sweep import policy, runner
from sklab.sweep.load import load_sweep
from sklab.sweep.retry import retry
from sklab.sweep.runner import run_study
from sklab.sweep.state import State

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


@pytest.fixture(autouse=True)
def _quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "ensure_sound", lambda *_: None)
    monkeypatch.setattr(policy, "oom_kills", lambda: 0)


def start(study: StudyFolder, launcher: Scripted, told: Told | None = None, most: int = 3) -> bool:
    sweep = load_sweep(study.path.parent.parent / "sweep.yaml")
    return run_study(sweep, study, launcher, Code(version="1"), Tracking(), told or Told(), max_identical=most)


def is_first(order: RunOrder) -> bool:
    return (order.cell, order.spec.seed) == ("K3", 0)


def test_a_run_killed_once_is_tried_again_and_both_attempts_are_on_record(study):
    told = Told()
    assert start(study, Scripted(lambda order, attempt: -9 if is_first(order) and attempt == 1 else {}), told)
    [first] = [record for record in study.records().values() if record.attempt == 2]
    assert first.status == "complete"
    past = RunFolder(study.run(first.key).attempts / "001").read_record()
    assert (past.failure, past.attempt) == ("killed", 1)
    assert told.notes == [
        "K3, seed 0: killed: the process of the run was killed by SIGKILL; tried again: attempt 2 of 3"
    ]
    assert len(told.records) == 4, "each run is told of once"


def test_a_run_whose_folder_is_deleted_while_it_runs_is_tried_again(study):
    def delete(order: RunOrder, attempt: int) -> int | dict[str, object]:
        if len(launcher.orders) > 1:
            return {}
        shutil.rmtree(study.run(order.key).path)
        return 1

    launcher, told = Scripted(delete), Told()
    assert start(study, launcher, told)
    assert told.notes == ["K3, seed 0: killed: the run's folder was deleted while it ran; tried again: attempt 2 of 3"]
    assert len(study.records()) == 4


def test_a_run_that_hangs_every_time_is_recorded_as_stale_and_the_others_go_on(study):
    launcher = Scripted(lambda order, _: None if is_first(order) else {})
    assert not start(study, launcher)
    [stale] = [record for record in study.records().values() if record.status == "failed"]
    assert (stale.failure, stale.attempt) == ("stale", 3)
    assert len(launcher.orders) == 6
    assert start(study, Scripted()), "the next start tries it again"


def test_a_kill_by_the_kernel_for_memory_is_oom(study, monkeypatch):
    count = iter(range(100))
    monkeypatch.setattr(policy, "oom_kills", lambda: next(count))
    launcher = Scripted(lambda order, attempt: -9 if is_first(order) and attempt == 1 else {}, capacity=2)
    assert start(study, launcher)
    assert launcher.capacity == 1
    [record] = [record for record in study.records().values() if record.attempt == 2]
    past = RunFolder(study.run(record.key).attempts / "001").read_record()
    assert (past.failure, past.reason.endswith("because memory ran out")) == ("oom", True)


def test_a_batch_that_does_not_fit_is_cut_and_the_table_says_so(study):
    launcher = Scripted(lambda order, _: OOM if is_first(order) and order.accumulate_factor < 4 else {})
    assert start(study, launcher)
    first = [order for order in launcher.orders if is_first(order)]
    assert [(order.experiment.train.batch_size, order.experiment.train.accumulate) for order in first] == [
        (16, 1),
        (8, 2),
        (4, 4),
    ]
    assert {order.key for order in first} == {first[0].spec.key}
    notes = words.notes(build.study_table(study.path))
    [note] = [note for note in notes if "out of memory" in note]
    assert note == (
        "K3: seed 0: out of memory, so trained in batches of 4 instead of 16, 4 accumulated: the effective batch is "
        "the recipe's, but batch norm sees the smaller ones"
    )


def test_one_error_everywhere_stops_the_study_and_is_shown_once(study):
    told, launcher = Told(), Scripted(lambda *_: BUG)
    assert not start(study, launcher, told)
    assert len(launcher.orders) == 3
    assert [note.count("Traceback") for note in told.notes] == [1, 0, 0, 0]
    assert told.notes[2] == "the same traceback as of K3, seed 0 (3 runs)"
    assert told.notes[3].startswith("nothing more is started")
    assert len(study.records()) == 3
    again = Scripted()
    assert start(study, again), "mended, the study goes on"
    assert len(again.orders) == 4


def test_how_many_identical_errors_are_too_many_can_be_said(study):
    launcher = Scripted(lambda *_: BUG)
    start(study, launcher, most=1)
    assert len(launcher.orders) == 1


def test_retry_sets_failed_runs_aside_and_never_a_complete_one(study, capsys):
    by_cell = {"K3": {"status": "diverged", "failure": "diverged", "reason": "nan"}, "K3+K5 SK": BUG}
    start(study, Scripted(lambda order, _: by_cell[order.cell] if order.spec.seed else {}))
    told = ["retry", "sweep", "--results", str(study.path.parent)]
    assert cli.main(told) == 0
    assert capsys.readouterr().out == (
        "K3+K5 SK, seed 1: code: boom\n1 run set aside; `sklab sweep` trains them anew\n"
    )
    assert sorted(record.status for record in study.records().values()) == ["complete", "complete", "diverged"]
    assert cli.main([*told, "--cell", "K3", "--failed"]) == 0
    assert "no such run has failed" in capsys.readouterr().out
    assert cli.main([*told, "--cell", "K3"]) == 0
    assert "K3, seed 1: diverged: nan" in capsys.readouterr().out
    launcher = Scripted()
    assert start(study, launcher)
    assert [order.spec.seed for order in launcher.orders] == [1, 1]
    assert all(record.attempt == 2 for record in study.records().values() if record.spec.seed == 1)


def test_retry_of_a_cell_leaves_the_failed_runs_of_others(study):
    start(study, Scripted(lambda *_: BUG), most=10)
    assert {record.cell for record in retry(study, ["K3"], failed=True)} == {"K3"}
    assert [record.cell for record in study.records().values()] == ["K3+K5 SK"] * 2


def test_retry_forgets_that_batches_were_cut(study):
    start(study, Scripted(lambda *_: OOM))
    retry(study, None, failed=True)
    launcher = Scripted()
    assert start(study, launcher)
    assert {order.accumulate_factor for order in launcher.orders} == {1}


def test_retry_refuses_a_live_study_and_an_unknown_cell(study):
    start(study, Scripted(lambda *_: BUG))
    with alone(study), pytest.raises(StudyLockedError, match="another runner"):
        retry(study, None, failed=True)
    with pytest.raises(SklabError, match=r"no cell 'K3\+K5'; its cells: K3, K3\+K5 SK - did you mean 'K3\+K5 SK'"):
        retry(study, ["K3+K5"], failed=False)
    assert len(study.records()) == 3


def test_a_results_folder_that_vanishes_stops_the_study_and_is_not_made_anew(study, tmp_path):
    aside = tmp_path / "aside"

    class Unmounted(Scripted):
        def wait(self, timeout: float) -> list[Ended]:
            ended = super().wait(timeout)
            if len(self.orders) == 2:
                study.path.rename(aside)
            return ended

    with pytest.raises(SklabError, match="has gone while the study ran"):
        start(study, Unmounted())
    assert not study.path.exists()
    aside.rename(study.path)
    launcher = Scripted()
    assert start(study, launcher)
    assert len(launcher.orders) == 2


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system in memory over `folder`, where the user may mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("needs the right to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_really_full_stops_the_study_and_loses_no_record(study):
    filler = study.path.parent / "filler"

    def fill(_: RunOrder, __: int) -> dict[str, object]:
        if len(study.records()) == 1:
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
                while True:
                    stream.write(bytes(4096))
        return {}

    with mounted(study.path.parent, "size=1m"):
        with pytest.raises(OSError, match="No space left") as caught:
            start(study, Scripted(fill))
        assert caught.value.errno == errno.ENOSPC
        kept = study.records()
        assert [record.status for record in kept.values()] == ["complete"]
        filler.unlink()
        assert start(study, Scripted())
        assert kept.items() <= study.records().items()


def test_results_that_turn_read_only_stop_the_study_and_lose_no_record(study):
    def turn(_: RunOrder, __: int) -> dict[str, object]:
        if len(study.records()) == 1:
            runs = str(study.path / "runs")
            subprocess.run(["mount", "--bind", runs, runs], check=True)
            subprocess.run(["mount", "-o", "remount,bind,ro", runs], check=True)
        return {}

    with mounted(study.path.parent, "size=1m"):
        with pytest.raises(OSError, match="Read-only"):
            start(study, Scripted(turn))
        kept = study.records()
        assert len(kept) == 1
        subprocess.run(["umount", str(study.path / "runs")], check=True)
        assert start(study, Scripted())
        assert kept.items() <= study.records().items()


def test_of_sixteen_runners_racing_for_a_study_one_wins(toy_files):
    told = subprocess.run(
        [sys.executable, "-c", RACE], cwd=toy_files, capture_output=True, text=True, check=True, timeout=120
    )
    assert told.stdout.split() == ["locked"] * 15 + ["won"]
    records = StudyFolder(toy_files / "results" / "sweep").records()
    assert [(record.status, record.attempt) for record in records.values()] == [("complete", 1)] * 4


# Each child waits for the start; the winner's first run lasts until the 15 others were sent away.
RACE = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import test_failures as failures
from sklab.errors import StudyLockedError
from sklab.folders import StudyFolder

failures.runner.ensure_sound = lambda *_: None
study = StudyFolder(Path("results/sweep").absolute())
start_in, start_out = os.pipe()
lost_in, lost_out = os.pipe()

class Patient(failures.Scripted):
    def submit(self, job):
        if not self.orders:
            for _ in range(15):
                os.read(lost_in, 1)
        super().submit(job)

children = []
for _ in range(16):
    child = os.fork()
    if child == 0:
        os.close(start_out)
        os.read(start_in, 1)
        try:
            won = failures.start(study, Patient())
            os.write(1, b"won\\n" if won else b"failed\\n")
        except StudyLockedError:
            os.write(1, b"locked\\n")
            os.write(lost_out, b"x")
        except BaseException as error:
            os.write(1, repr(error).encode())
        os._exit(0)
    children.append(child)
os.close(start_out)
for child in children:
    os.waitpid(child, 0)
"""


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [("--max-identical", "0", "found 0; allowed: 1"), ("--stale-after", "nan", "found nan")],
)
def test_an_impossible_option_is_refused(study, option, value, said, capsys):
    file = str(study.path.parent.parent / "sweep.yaml")
    told = ["sweep", file, "--results", str(study.path.parent), "--no-wandb", option, value]
    assert cli.main(told) == 2
    assert f"{option}: {said}" in capsys.readouterr().err
