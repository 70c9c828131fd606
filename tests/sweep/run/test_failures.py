"""A study among failures: what is tried again, what stops it, and `sklab retry`."""

from __future__ import annotations

import shutil

import pytest
from scripted import BUG, OOM, Scripted, Told, is_first, start

from sklab import cli
from sklab.errors import SklabError, StudyLockedError
from sklab.report import build
from sklab.report.words import sentences
from sklab.store.records import RunOrder
from sklab.store.run_folder import RunFolder
from sklab.store.states import study_lock
from sklab.sweep.run import failures
from sklab.sweep.run.failures import retry

pytestmark = pytest.mark.usefixtures("quiet_machine")


def test_a_run_killed_once_is_tried_again_and_both_attempts_are_on_record(study):
    told = Told()
    assert start(study, Scripted(lambda order, attempt: -9 if is_first(order) and attempt == 1 else {}), told)
    [first] = [record for record in study.records().values() if record.attempt == 2]
    assert first.status == "complete"
    past = RunFolder(study.run(first.key).attempts / "001").read_record()
    assert (past.failure, past.attempt) == ("killed", 1)
    assert told.notes == [
        "K3, seed 0: failed (killed): the process of the run was killed by SIGKILL; tried again: attempt 2 of 3"
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
    assert told.notes == [
        "K3, seed 0: failed (killed): the run's folder was deleted while it ran; tried again: attempt 2 of 3"
    ]
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
    monkeypatch.setattr(failures, "oom_kills", lambda: next(count))
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
    notes = sentences.notes(build.study_table(study.path))
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
        "K3+K5 SK, seed 1: failed (code): boom\n1 run set aside, to be trained anew\n"
        "sweep: 2 of 4 runs complete, 1 diverged, 1 waiting; "
        "no runner is at work: the same `sklab sweep` again goes on\n"
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
    with study_lock(study), pytest.raises(StudyLockedError, match="another runner"):
        retry(study, None, failed=True)
    with pytest.raises(SklabError, match=r"no cell 'K3\+K5'; its cells: K3, K3\+K5 SK - did you mean 'K3\+K5 SK'"):
        retry(study, ["K3+K5"], failed=False)
    assert len(study.records()) == 3


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [("--max-identical", "0", "found 0; allowed: 1"), ("--stale-after", "nan", "found nan")],
)
def test_an_impossible_option_is_refused(study, option, value, said, capsys):
    file = str(study.path.parent.parent / "sweep.yaml")
    told = ["sweep", file, "--results", str(study.path.parent), "--no-wandb", option, value]
    assert cli.main(told) == 2
    assert f"{option}: {said}" in capsys.readouterr().err
