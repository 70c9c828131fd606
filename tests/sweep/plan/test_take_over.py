"""A run comes from another study with all its files or not at all, whatever happens meanwhile."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from reusing import FILES, baseline, cells, study, sweep_of

from sklab.sweep.plan import reuse
from sklab.sweep.plan.plan import make_plan
from sklab.sweep.plan.prepared import Start, prepare
from sklab.sweep.plan.prices import Resources


def test_a_finished_run_is_taken_over_with_its_files_and_named_as_here(start, toy_files):
    start("sweep")
    launcher = start("second")
    assert (cells(launcher), len(launcher.trained)) == ({"wide"}, 2)
    theirs, ours = baseline(toy_files, "sweep"), baseline(toy_files)
    before, after = theirs.read_record(), ours.read_record()
    assert (before.study, before.cell) == ("sweep", "K3")
    named = {"study": "second", "cell": "plain", "factors": {"kernels": "3"}}
    assert after == before.model_copy(update=named)
    assert ours.read_order().cell == "plain"
    assert {name: (ours.path / name).read_text() for name in FILES} == {name: f"{name} of sweep" for name in FILES}
    assert ours.weights_file.samefile(theirs.weights_file)
    assert not ours.log_file.samefile(theirs.log_file), "a later evaluation writes on in it"
    assert study(toy_files, "second").reused([ours.path.name])[ours.path.name].study == "sweep"
    assert start("second").trained == []


def test_what_can_not_be_linked_is_copied(start, toy_files, monkeypatch):
    start("sweep")
    monkeypatch.setattr(os, "link", _no_link)
    start("second")
    ours = baseline(toy_files)
    assert ours.weights_file.read_text() == "weights.pt of sweep"
    assert not ours.weights_file.samefile(baseline(toy_files, "sweep").weights_file)


@pytest.mark.parametrize("name", ["weights.pt", "metrics.csv"])
def test_a_complete_run_without_its_weights_or_metrics_is_no_offer(start, toy_files, name):
    start("sweep")
    (baseline(toy_files, "sweep").path / name).unlink()
    plan = make_plan(
        prepare(Start(sweep_of(toy_files, "second"), study(toy_files, "second"))), Resources(1), lambda _: (1, 1)
    )
    assert plan.reused == 1
    trained = start("second").trained
    assert [(each.cell, each.spec.seed) for each in trained] == [("plain", 0), ("wide", 0), ("wide", 1)]


@pytest.mark.parametrize("linked", [True, False])
@pytest.mark.parametrize("looks", range(1, 12))
def test_a_study_deleted_while_its_runs_are_taken_over_gives_whole_runs_or_none(
    start, toy_files, monkeypatch, looks, linked
):
    """Deleted before each of the files that are looked at, one after the other."""
    start("sweep")
    theirs, seen = baseline(toy_files, "sweep"), []
    monkeypatch.setattr(os, "link", os.link if linked else _no_link)

    def look(real):
        def looking(path, *more):
            if path.parent == theirs.path:
                seen.append(path)
                if len(seen) == looks:
                    shutil.rmtree(study(toy_files, "sweep").path)
            return real(path, *more)

        return looking

    with monkeypatch.context() as patch:
        patch.setattr(reuse, "content", look(reuse.content))
        patch.setattr(reuse, "is_regular", look(reuse.is_regular))
        patch.setattr(Path, "exists", look(Path.exists))
        launcher = start("second")
    assert len(seen) >= looks
    trained = {order.key for order in launcher.trained}
    for record in study(toy_files, "second").records().values():
        run = study(toy_files, "second").run(record.key)
        origin = "second" if record.key in trained else "sweep"
        assert {name: (run.path / name).read_text() for name in FILES} == {
            name: f"{name} of {origin}" for name in FILES
        }
        assert run.reused_file.exists() == (origin == "sweep")
        assert not list(run.path.glob(".*"))


def test_a_run_whose_files_are_deleted_one_by_one_while_it_is_taken_over_is_trained(start, toy_files, monkeypatch):
    start("sweep")
    theirs, real = baseline(toy_files, "sweep"), reuse.content

    def deleting(path, *most):
        content = real(path, *most)
        if path == theirs.metrics_file:
            theirs.attention_file.unlink()
        return content

    monkeypatch.setattr(reuse, "content", deleting)
    assert ("plain", 0) in {(each.cell, each.spec.seed) for each in start("second").trained}


def test_a_take_over_that_comes_to_nothing_leaves_the_checkpoints_of_an_interrupted_run(start, toy_files, monkeypatch):
    start("sweep")
    checkpoint = baseline(toy_files).checkpoints / "3-1.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    monkeypatch.setattr(reuse, "_read_all", lambda *_: None)
    start("second")
    assert checkpoint.exists()


def _no_link(*_):
    raise OSError("Invalid cross-device link")


class Killed(BaseException):
    pass


@pytest.mark.parametrize("survived", [0, 1, 4, 5, 6, 9])
def test_killed_while_taking_over_a_run_is_either_whole_or_has_not_ended(start, toy_files, monkeypatch, survived):
    start("sweep")
    calls, real = [], reuse.write_whole

    def dies(file, content):
        if len(calls) == survived:
            raise Killed
        calls.append(file)
        real(file, content)

    with monkeypatch.context() as patch:
        patch.setattr(reuse, "write_whole", dies)
        with pytest.raises(Killed):
            start("second")
    for record in study(toy_files, "second").records().values():
        run = study(toy_files, "second").run(record.key)
        assert all((run.path / name).exists() for name in (*FILES, "reused.json"))
    assert cells(start("second")) == {"wide"}
    assert baseline(toy_files).log_file.read_text() == "log.txt of sweep"


def test_a_run_without_the_weights_that_the_test_split_needs_is_no_offer(start, toy_files):
    """Its best epoch is not its last, and its study did not ask for the weights of that epoch."""
    experiment, second = toy_files / "toy.yaml", toy_files / "second.yaml"
    experiment.write_text(experiment.read_text().replace("val_size: 32", "val_size: 32, test: 20"))
    second.write_text(second.read_text().replace("design: list", "design: list\nmetric: {epoch: best}"))
    start("sweep")
    first, other = (baseline(toy_files, "sweep", seed) for seed in (0, 1))
    for run, best in ((first, 1), (other, 1)):
        run.write_record(run.read_record().model_copy(update={"best_epoch": best, "epochs": 2}))
    other.best_weights_file.write_text("best.pt of sweep")
    plan = prepare(Start(sweep_of(toy_files, "second"), study(toy_files, "second")))
    assert {offer.record.spec.seed for offer in reuse.to_take(plan).values()} == {1}
    assert set(reuse.take_over(plan)) == {other.path.name}
    assert baseline(toy_files, seed=1).best_weights_file.read_text() == "best.pt of sweep"
