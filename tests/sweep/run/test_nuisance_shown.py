"""What tables and reports say of a study whose cells tune a setting."""

from __future__ import annotations

import csv
import json

import pytest
from launchers import start
from planted import PLANTED, SWEEP, Planted

from sklab.cli import main
from sklab.report.build import build, study_table
from sklab.report.evidence.nuisance import tuning_grids, tuning_result, tuning_sentences
from sklab.report.tables.terminal import terminal_table
from sklab.spec.study.nuisance import FIRST_SEED
from sklab.store.records import RunOrder
from sklab.store.study_folder import StudyFolder

pytestmark = pytest.mark.usefixtures("sound")

RATES = "train.lr over 0.02, 0.05, 0.2, on 1 seed of its own"
WHAT = f"Every cell tuned {RATES}, 6 runs in all, none of which is in the table."
CHANGED = "Without tuning, at train.lr=0.05 for all, 1 of 1 verdict is another: lucky is better there, undecided tuned."
AT_EDGE = "The best value is the first or last of those tried, and a better one may lie beyond: plain (train.lr=0.02)."


def is_far(order: RunOrder) -> bool:
    return order.spec.experiment.train.lr == 0.2


@pytest.fixture
def study(toy_files) -> StudyFolder:
    (toy_files / "sweep.yaml").write_text(SWEEP)
    return StudyFolder(toy_files / "results" / "sweep")


def test_the_first_sentences_tell_what_was_tuned_and_which_verdict_is_another_without_it(study):
    start(study, Planted())
    table = study_table(study.path)
    assert tuning_result(table) == (f"{WHAT} {CHANGED}",)
    assert tuning_sentences(table) == (AT_EDGE,)
    shown = " ".join(terminal_table(table).split())
    assert f"{WHAT} {CHANGED} {AT_EDGE}" in shown
    build(study.path)
    for name in ("report.md", "report.html", "report.tex"):
        text = " ".join((study.path / name).read_text(encoding="utf-8").split())
        assert "1 of 1 verdict is another: lucky is better there" in text, name
        assert "a better one may lie beyond" in text, name
        assert "own setting" in text, name


def test_each_cell_has_a_line_with_its_setting_and_both_results(study):
    start(study, Planted())
    (grid,) = tuning_grids(study_table(study.path))
    plain, lucky = (dict(zip(grid.head, row, strict=True)) for row in grid.rows)
    assert (plain["own setting"], lucky["own setting"]) == ("train.lr=0.02", "train.lr=0.05")
    assert (plain["verdict"], lucky["verdict"], lucky["verdict untuned"]) == ("baseline", "undecided", "better")
    assert float(plain["mean untuned"]) - float(plain["mean"]) == pytest.approx(10, abs=1)
    assert lucky["mean untuned"] == lucky["mean"], "the same runs"


def test_the_data_of_the_table_have_both_results(study, capsys):
    start(study, Planted())
    build(study.path)
    with (study.path / "table.csv").open(encoding="utf-8") as file:
        plain, lucky = csv.DictReader(file)
    assert (plain["tuned_setting"], lucky["untuned_verdict"], lucky["untuned_n"]) == ("train.lr=0.02", "better", "4")
    assert float(plain["tuning_mean"]) == pytest.approx(20.5, abs=2)
    assert main(["table", "sweep", "--results", str(study.path.parent), "--json"]) == 0
    as_json = json.loads(capsys.readouterr().out)
    assert [row["untuned_mean"] for row in as_json] == [float(row["untuned_mean"]) for row in (plain, lucky)]


def test_the_plan_of_the_study_names_what_is_tuned(study):
    start(study, Planted())
    build(study.path)
    text = (study.path / "report.md").read_text(encoding="utf-8")
    assert "2 cells × 4 seeds (0, 1, 2, 3); baseline plain;" in text
    assert f"every cell tunes {RATES}" in text


def test_equal_verdicts_are_told_too(study):
    start(study, Planted(lambda order: "diverged" if is_far(order) else "complete"), SWEEP.replace("0.02, ", ""))
    table = study_table(study.path)
    assert "Without tuning, at train.lr=0.05 for all, every verdict is the same." in tuning_result(table)[0]
    assert tuning_sentences(table)[:1] == ("Two values do not show whether a better one lies beyond them: train.lr.",)


def test_what_was_not_measured_is_told(study):
    start(study, Planted())
    for key, record in study.records().items():
        if record.cell == "plain, train.lr=0.05" and record.spec.seed < FIRST_SEED:
            study.run(key).record_file.unlink()
    told = tuning_result(study_table(study.path))[0]
    assert told.endswith("Whether verdicts change was not measured: too few runs at train.lr=0.05 are complete.")


def test_a_study_that_is_still_tuned_says_so(study):
    with pytest.raises(KeyboardInterrupt):
        start(study, Planted(capacity=1, stop_after=4))
    table = study_table(study.path)
    (told,) = tuning_result(table)
    assert told.startswith("Under way: every cell tunes train.lr")
    assert "4 of 6 tuning runs ended; 1 of 2 cells tuned" in told
    assert [row[1] for row in tuning_grids(table)[0].rows] == ["train.lr=0.02", "still tuning"]
    build(study.path)


def test_a_choice_that_may_be_luck_is_told(study, monkeypatch):
    monkeypatch.setitem(PLANTED["lucky"], 0.2, 20.3)
    start(study, Planted())
    told = tuning_sentences(study_table(study.path))
    assert told[1].startswith("Another setting may be the best of 1 of 2 cells (lucky): over 1 seed its mean is within")


def test_tuning_runs_without_a_number_are_named(study):
    def ends(order):
        if order.spec.seed < FIRST_SEED or order.spec.experiment.train.lr != 0.2:
            return "complete"
        return "diverged" if order.cell.startswith("plain") else 1

    start(study, Planted(ends))
    without = "Tuning runs without a number lose: plain at train.lr=0.2 (diverged), lucky at train.lr=0.2 (failed)."
    assert without in tuning_sentences(study_table(study.path))
