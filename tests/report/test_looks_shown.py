"""A study that is shown, gets more seeds and is shown again."""

import warnings

import pytest
from studies import failed_record, key_of, make_records, make_sweep, write_study

from sklab.cli import main
from sklab.report.build import study_table
from sklab.spec.study.questions import Question
from sklab.spec.study.sweep import Replicates
from sklab.store import looks as looks_of_store
from sklab.store.looks import looks_file, read_looks
from sklab.store.study_folder import StudyFolder

# K5 is claimed with 3 seeds already, K7 at 5 % with 6 seeds but not at the level of a second look.
ERRORS = {
    "K3": [20.0, 21.0, 20.6, 20.3, 20.9, 20.2],
    "K5": [15.1, 15.8, 15.5, 15.2, 16.1, 15.0],
    "K7": [19.9, 20.2, 19.4, 19.9, 20.4, 19.8],
}


def study_of(folder, seeds, errors=ERRORS, **changes):
    records = make_records({name: of_cell[:seeds] for name, of_cell in errors.items()})
    new = {key: record for key, record in records.items() if not (folder / "runs" / key).exists()}
    return write_study(folder, make_sweep(list(errors), range(seeds), **changes), new)


def show(folder, command="table"):
    return main([command, folder.name, "--results", str(folder.parent)])


def verdicts(folder):
    return [row.verdict for row in study_table(folder).rows]


@pytest.mark.parametrize("command", ["table", "report"])
def test_a_second_look_is_counted_and_said(tmp_path, capsys, command):
    folder = study_of(tmp_path / "made", 3)
    assert show(folder, command) == 0
    assert "Look " not in capsys.readouterr().out
    assert verdicts(folder) == [None, "better", "undecided"]
    study_of(folder, 6)
    assert show(folder, command) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Look 2 of this study (3, then 6 seeds)" in shown
    assert [look.seeds for look in read_looks(folder).looks] == [(0, 1, 2), (0, 1, 2, 3, 4, 5)]
    assert verdicts(folder) == [None, "better", "undecided"]


def test_as_many_seeds_at_one_look_say_more(tmp_path):
    folder = study_of(tmp_path / "made", 6)
    assert verdicts(folder) == [None, "better", "better"]
    assert not study_table(folder).looks.corrected


def test_reading_again_is_no_new_look(tmp_path, capsys):
    folder = study_of(tmp_path / "made", 3)
    show(folder)
    study_of(folder, 6)
    show(folder)
    first = capsys.readouterr().out, looks_file(folder).read_bytes()
    show(folder)
    assert first[0].endswith(capsys.readouterr().out)
    assert first[1] == looks_file(folder).read_bytes()


def test_the_report_names_the_looks_and_the_method(tmp_path):
    folder = study_of(tmp_path / "made", 3)
    show(folder)
    study_of(folder, 6)
    show(folder, "report")
    text = (folder / "report.md").read_text()
    assert "Look 2 of this study (3, then 6 seeds)" in text
    assert "Verdicts were shown with 3, then 6 seeds. No more seeds were planned" in text


def test_a_study_under_way_is_no_look_and_one_with_a_failed_run_is(tmp_path):
    folder = study_of(tmp_path / "made", 3, {**ERRORS, "K9": [20.0, 21.0]})
    show(folder)
    assert not looks_file(folder).exists()
    run = StudyFolder(folder).run(key_of("K9", 2))
    run.path.mkdir()
    run.write_record(failed_record("K9", 2))
    show(folder)
    assert [look.seeds for look in read_looks(folder).looks] == [(0, 1, 2)]


@pytest.mark.parametrize("errors", [{"K3": ERRORS["K3"]}, {"K3": [20.0], "K5": [15.0]}])
def test_a_table_without_any_verdict_is_no_look(tmp_path, errors):
    show(study_of(tmp_path / "made", len(errors) - 1 or 3, errors))
    assert not looks_file(tmp_path / "made").exists()


def test_a_folder_that_cannot_be_written_is_told_of_and_the_table_shown(tmp_path, capsys, monkeypatch):
    folder = study_of(tmp_path / "made", 3)

    def refuse(file, content):
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(looks_of_store, "write_whole", refuse)
    assert show(folder) == 0
    told = capsys.readouterr()
    assert "K5" in told.out
    assert "looks.json can't be written" in " ".join(told.err.split())


def test_a_damaged_file_is_told_of_and_kept(tmp_path, capsys):
    folder = study_of(tmp_path / "made", 3)
    show(folder)
    looks_file(folder).write_text("{")
    study_of(folder, 6)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert show(folder) == 0
    assert any("looks.json can't be read" in str(of.message) for of in told)
    assert "K5" in capsys.readouterr().out
    assert looks_file(folder).read_text() == "{"


def test_a_planned_question_is_judged_at_the_level_of_the_look(tmp_path):
    asked = {"K5": Question(cells=("K5",), against=("K3",)), "K7": Question(cells=("K7",), against=("K3",))}
    at_once = study_table(study_of(tmp_path / "at once", 6, questions=asked))
    folder = study_of(tmp_path / "made", 3, questions=asked)
    show(folder)
    later = study_table(study_of(folder, 6, questions=asked))
    assert [answer.verdict for answer in at_once.questions] == ["lower", "lower"]
    assert [answer.verdict for answer in later.questions] == ["lower", "undecided"]
    assert later.questions[1].versus.half > at_once.questions[1].versus.half


def test_the_seeds_that_a_later_look_asks_for_allow_for_its_level(tmp_path):
    at_once = study_table(study_of(tmp_path / "at once", 6)).rows[2]
    folder = study_of(tmp_path / "made", 3)
    show(folder)
    later = study_table(study_of(folder, 6)).rows[2]
    assert later.baseline.needed > max(at_once.baseline.needed, 6)


def test_looks_of_a_study_with_replicates_are_not_kept(tmp_path):
    rule = Replicates(start=3, max=6)
    show(study_of(tmp_path / "made", 6, replicates=rule))
    assert not looks_file(tmp_path / "made").exists()


def test_a_planned_look_is_said_at_once_and_a_later_one_finds_what_the_unplanned_did_not(tmp_path, capsys):
    folder = study_of(tmp_path / "made", 3, most_seeds=6)
    show(folder)
    shown = " ".join(capsys.readouterr().out.split())
    assert "Look 1 of this study (3 seeds): 6 seeds were planned" in shown
    assert "needs a p that would be below 0.019" in shown
    study_of(folder, 6, most_seeds=6)
    show(folder)
    assert "Look 2 of this study (3, then 6 seeds): 6 seeds were planned" in " ".join(capsys.readouterr().out.split())
    assert verdicts(folder) == [None, "better", "better"]


def test_a_plan_made_after_the_first_look_changes_nothing(tmp_path):
    folder = study_of(tmp_path / "made", 3)
    show(folder)
    study_of(folder, 6, most_seeds=6)
    show(folder)
    assert verdicts(folder) == [None, "better", "undecided"]


def test_more_runs_of_the_baseline_alone_are_a_look(tmp_path, capsys):
    errors = {name: of_cell[:3] for name, of_cell in ERRORS.items()}
    folder = study_of(tmp_path / "made", 3)
    show(folder)
    sweep = make_sweep(list(errors), range(6))
    cells = tuple(
        cell.model_copy(update={"runs": {seed: cell.runs[seed] for seed in range(6 if cell.name == "K3" else 3)}})
        for cell in sweep.cells
    )
    more = make_records({"K3": ERRORS["K3"]})
    new = {key: record for key, record in more.items() if not (folder / "runs" / key).exists()}
    write_study(folder, sweep.model_copy(update={"cells": cells}), new)
    show(folder)
    assert "Look 2 of this study (3, then 3 (baseline: 6) seeds)" in " ".join(capsys.readouterr().out.split())
    assert read_looks(folder).looks[1].baseline == (3, 4, 5)
