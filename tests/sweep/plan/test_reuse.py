"""Which runs of one study another under the same results root takes over, from real sweep files and records."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from reusing import CODE, OTHER, baseline, cells, study, sweep_of

from sklab.cli import parser
from sklab.commands.screen.plan import plan_text
from sklab.report.build import build, study_table
from sklab.report.tables.terminal import terminal_table
from sklab.store.records import Code
from sklab.sweep.plan.plan import make_plan, price_left
from sklab.sweep.plan.prepared import Start, prepare
from sklab.sweep.plan.prices import Resources
from sklab.sweep.plan.reuse import offers, take_over


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
    plan = make_plan(
        prepare(Start(sweep_of(toy_files, "second"), study(toy_files, "second"))), Resources(1), lambda _: (1, 1)
    )
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
    plan = make_plan(prepare(Start(sweep, folder, **how)), Resources(1), lambda _: (1, 1))
    assert plan.reused == reused
    assert plan.seconds == price_left(prepare(Start(sweep, folder, **how)), Resources(1)).seconds == 7.0 * (4 - reused)


def test_a_first_study_looks_in_a_root_that_may_not_be_there(toy_files):
    assert offers(sweep_of(toy_files, "sweep"), study(toy_files, "sweep"), {}) == {}


def test_a_study_is_looked_into_once_however_many_runs_are_missing(start, toy_files, monkeypatch):
    start("sweep")
    looked, iterdir = [], Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: looked.append(path) or iterdir(path))
    sweep = sweep_of(toy_files, "second")
    taken = take_over(prepare(Start(sweep, study(toy_files, "second"), CODE)))
    assert set(taken) == set(sweep.cells[0].runs.values())
    assert [path.parent.name for path in looked if path.name == "runs"] == ["sweep"]


def test_the_options_of_the_command():
    def chosen(*more: str) -> str:
        return parser().parse_args(["sweep", "some.yaml", *more]).reuse

    assert (chosen(), chosen("--no-reuse"), chosen("--strict")) == ("any code", "never", "same code")
    with pytest.raises(SystemExit):
        chosen("--no-reuse", "--strict")
