"""Runs of one study taken over by another under the same results root, from real sweep files and records."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from launchers import StandInLauncher

from sklab.cli import parser
from sklab.folders import StudyFolder
from sklab.launch.base import Ended
from sklab.plan_text import plan_text
from sklab.records import Code, RunOrder, RunRecord, Tracking
from sklab.report.build import build, study_table, terminal_table
from sklab.run_folder import RunFolder
from sklab.spec.sweep import Sweep
from sklab.sweep import reuse, runner
from sklab.sweep.held import NOT_READ
from sklab.sweep.load import load_sweep
from sklab.sweep.plan import make_plan, price_left
from sklab.sweep.reuse import Reuse, offers, take_over
from sklab.sweep.runner import run_study

CODE, OTHER = Code(version="1", commit="abc"), Code(version="1", commit="def")
FILES = ("weights.pt", "metrics.csv", "log.txt", "attention.json", "analysis.json", "evaluation-16.json")
OVERLAP = """\
experiment: toy.yaml
design: list
seeds: 2
baseline: plain
columns: [kernels]
cells:
  - {name: plain, factors: {kernels: "3"}, set: {model.branches: [{kernel: 3}], model.attention: none}}
  - {name: wide, factors: {kernels: "5"}, set: {model.branches: [{kernel: 5}], model.attention: none}}
"""


class Trained(StandInLauncher):
    """A launcher that ends every run at once, with all the files that a real one leaves."""

    def __init__(self, status: str = "complete") -> None:
        super().__init__(capacity=4)
        self.trained: list[RunOrder] = []
        self._status = status

    def wait(self, timeout):
        jobs, self._running = self._running, []
        for job in jobs:
            run = RunFolder(job.folder)
            run.begin_attempt()
            order = run.read_order()
            self.trained.append(order)
            for name in FILES:
                (run.path / name).write_text(f"{name} of {order.study}")
            metrics = {"val_error": 10.0 + order.spec.seed, "val_loss": 1.0}
            record = RunRecord.of(order, status=self._status, last=metrics, best=metrics, wall_seconds=7.0)
            run.write_record(record)
        return [Ended(job, 0) for job in jobs]


class Silent:
    def ended(self, record, state): ...
    def note(self, text, state): ...
    def look(self, state): ...


@pytest.fixture(autouse=True)
def _sound(monkeypatch):
    monkeypatch.setattr(runner, "ensure_sound", lambda *_: NOT_READ)


@pytest.fixture
def start(toy_files: Path) -> Callable[..., Trained]:
    """Runs `sweep.yaml` or, as study `second`, a sweep that has its baseline (under another name) and a cell more."""
    (toy_files / "second.yaml").write_text(OVERLAP)
    shutil.copy(toy_files / "second.yaml", toy_files / "third.yaml")

    def run(name: str, code: Code = CODE, reuse: Reuse = "any code", status: str = "complete") -> Trained:
        launcher = Trained(status)
        run_study(sweep_of(toy_files, name), study(toy_files, name), launcher, code, Tracking(), Silent(), reuse=reuse)
        return launcher

    return run


def sweep_of(files: Path, name: str) -> Sweep:
    return load_sweep(files / f"{name}.yaml")


def study(files: Path, name: str) -> StudyFolder:
    return StudyFolder(files / "results" / name)


def baseline(files: Path, name: str = "second", seed: int = 0) -> RunFolder:
    return study(files, name).run(sweep_of(files, name).cells[0].runs[seed])


def cells(launcher: Trained) -> set[str]:
    return {order.cell for order in launcher.trained}


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


def test_deleting_the_origin_breaks_nothing(start, toy_files):
    start("sweep")
    start("second")
    table = terminal_table(study_table(study(toy_files, "second").path))
    shutil.rmtree(study(toy_files, "sweep").path)
    assert terminal_table(study_table(study(toy_files, "second").path)) == table
    assert baseline(toy_files).weights_file.read_text() == "weights.pt of sweep"
    assert start("second").trained == []
    assert cells(start("sweep")) == {"K3+K5 SK"}, "the copy is offered back"


def test_an_original_is_preferred_to_a_copy(start, toy_files):
    start("sweep")
    start("second")
    start("third")
    sources = study(toy_files, "third").reused(study(toy_files, "third").records())
    assert sorted(each.study for each in sources.values()) == ["second", "second", "sweep", "sweep"]


def test_a_study_copied_under_another_name_is_no_origin(start, toy_files):
    start("sweep")
    study(toy_files, "sweep").path.rename(study(toy_files, "example").path)
    assert cells(start("second")) == {"plain", "wide"}


def test_no_reuse_trains_everything(start):
    start("sweep")
    assert cells(start("second", reuse="never")) == {"plain", "wide"}


@pytest.mark.parametrize("code", [OTHER, Code(version="2", commit="abc"), CODE.model_copy(update={"dirty": True})])
def test_other_code_is_a_caution_in_the_table_and_a_refusal_when_strict(start, toy_files, code):
    start("sweep", code)
    assert cells(start("third", CODE, "same code")) == {"plain", "wide"}
    shutil.rmtree(study(toy_files, "third").path)
    assert cells(start("second", CODE)) == {"wide"}
    said = " ".join(terminal_table(study_table(study(toy_files, "second").path)).split())
    assert "2 runs reused from study sweep: plain; caution: made by sklab" in said
    assert "reused by sklab 1, commit abc, whose numbers may differ" in said


def test_two_dirty_trees_are_never_the_same(start):
    dirty = CODE.model_copy(update={"dirty": True})
    start("sweep", dirty)
    assert cells(start("second", dirty, "same code")) == {"plain", "wide"}


def test_the_same_code_needs_no_caution_and_stands_before_other_code(start, toy_files):
    start("sweep", OTHER)
    start("third", CODE, "never")
    assert start("second").trained == []
    said = " ".join(terminal_table(study_table(study(toy_files, "second").path)).split())
    assert "4 runs reused from study third: plain, wide" in said
    assert "caution" not in said


def test_the_report_links_every_reused_run_to_its_origin(start, toy_files):
    start("sweep")
    start("second")
    build(study(toy_files, "second").path)
    for name in ("report.html", "report.md"):
        report = study(toy_files, "second").path / name
        link = f"../sweep/runs/{baseline(toy_files).path.name}/record.json"
        assert link in report.read_text()
        assert (report.parent / link).exists()
        assert report.read_text().count("reused from sweep") == 2


def test_a_diverged_run_is_a_result_elsewhere_too(start, toy_files):
    start("sweep", status="diverged")
    assert cells(start("second")) == {"wide"}
    assert baseline(toy_files).read_record().status == "diverged"


def test_failed_runs_are_not_offered_but_replaced(start, toy_files):
    start("second", status="failed")
    assert cells(start("sweep")) == {"K3", "K3+K5 SK"}
    assert cells(start("second")) == {"wide"}
    ours = baseline(toy_files)
    assert ours.read_record().status == "complete"
    assert (ours.attempts / "001" / "log.txt").read_text() == "log.txt of second"


@pytest.mark.parametrize("damage", ["", "{", '{"key": "other"}', None])
def test_a_damaged_record_of_another_study_is_left_alone(start, toy_files, damage):
    start("sweep")
    record = baseline(toy_files, "sweep").record_file
    content = record.read_text().replace('"seed": 0', '"seed": 9') if damage is None else damage
    record.write_text(content)
    assert [(each.cell, each.spec.seed) for each in start("second").trained] == [("plain", 0), ("wide", 0), ("wide", 1)]
    assert record.read_text() == content


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
    plan = make_plan(sweep_of(toy_files, "second"), study(toy_files, "second"), 1, lambda _: (1, 1))
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


def test_a_run_that_a_cluster_still_has_is_left_to_it(start, toy_files):
    start("sweep")
    queued = baseline(toy_files)
    queued.path.mkdir(parents=True)
    (queued.path / "job.json").write_text('{"slurm": "7"}')
    sweep = sweep_of(toy_files, "second")
    assert list(offers(sweep, study(toy_files, "second"), {})) == [sweep.cells[0].runs[1]]


def test_a_reused_run_that_is_tried_anew_is_no_longer_marked(start, toy_files):
    start("sweep")
    start("second")
    ours = baseline(toy_files)
    ours.begin_attempt()
    assert not ours.reused_file.exists()
    assert baseline(toy_files, "sweep").weights_file.exists()


def test_the_plan_counts_what_is_taken_over(start, toy_files):
    start("sweep")
    plan = make_plan(sweep_of(toy_files, "second"), study(toy_files, "second"), 1, lambda _: (1, 1))
    assert (plan.missing, plan.reused) == (4, 2)
    assert "runs to run that another study has finished: 2" in plan_text(plan)
    assert not (toy_files / "results" / "second").exists()


@pytest.mark.parametrize(
    ("reuse", "code", "reused"),
    [("any code", OTHER, 2), ("same code", CODE, 2), ("same code", OTHER, 0), ("never", CODE, 0)],
)
def test_plan_and_price_count_what_would_really_be_taken_over(start, toy_files, reuse, code, reused):
    start("sweep")
    sweep, folder = sweep_of(toy_files, "second"), study(toy_files, "second")
    how = {"code": code, "reuse": reuse}
    plan = make_plan(sweep, folder, 1, lambda _: (1, 1), **how)
    assert plan.reused == reused
    assert plan.seconds == price_left(sweep, folder, 1, {}, **how).seconds == 7.0 * (4 - reused)


def test_a_first_study_looks_in_a_root_that_may_not_be_there(toy_files):
    assert offers(sweep_of(toy_files, "sweep"), study(toy_files, "sweep"), {}) == {}


def test_a_study_is_looked_into_once_however_many_runs_are_missing(start, toy_files, monkeypatch):
    start("sweep")
    looked, iterdir = [], Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: looked.append(path) or iterdir(path))
    sweep = sweep_of(toy_files, "second")
    taken = take_over(sweep, study(toy_files, "second"), {}, CODE, "any code")
    assert set(taken) == set(sweep.cells[0].runs.values())
    assert [path.parent.name for path in looked if path.name == "runs"] == ["sweep"]


def test_the_options_of_the_command():
    def chosen(*more: str) -> str:
        return parser().parse_args(["sweep", "some.yaml", *more]).reuse

    assert (chosen(), chosen("--no-reuse"), chosen("--strict")) == ("any code", "never", "same code")
    with pytest.raises(SystemExit):
        chosen("--no-reuse", "--strict")
