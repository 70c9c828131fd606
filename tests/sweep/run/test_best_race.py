"""More seeds where they help to find the best cell: from the sweep file to the report, with runs that are faked."""

from __future__ import annotations

import csv

import pytest
from launchers import in_parts, start
from measured import SWEEP, Measured

from sklab.commands.screen.plan import plan_text
from sklab.errors import FaultyInputError
from sklab.report.build import build, study_table
from sklab.report.tables.terminal import terminal_table
from sklab.report.words.methods import methods
from sklab.store.study_folder import StudyFolder
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan.plan import make_plan
from sklab.sweep.plan.prepared import Start, prepare
from sklab.sweep.plan.prices import Resources

pytestmark = pytest.mark.usefixtures("sound")
RULE = "replicates: {start: 3, max: 9, stop: best, runs: 24}"
BEST = SWEEP.replace("replicates: {start: 3, max: 10, stop: resolved}", RULE)


@pytest.fixture
def study(toy_files) -> StudyFolder:
    (toy_files / "sweep.yaml").write_text(BEST)
    return StudyFolder(toy_files / "results" / "sweep")


def test_seeds_go_to_the_cells_that_may_be_the_best(study):
    """`usual` and `same` are the same network but for chance, `near` is 2 above and `far` 10."""
    launcher = Measured()
    assert start(study, launcher, BEST)
    asked = launcher.asked()
    assert asked["far"] == 3
    assert asked["usual"] + asked["same"] > asked["near"] + asked["far"]
    assert sum(asked.values()) <= 24
    table = study_table(study.path)
    assert {row.name: row.planned for row in table.rows} == asked
    assert not any(row.unfinished for row in table.rows)
    assert table.likeliest.name in ("usual", "same")


def test_tests_are_of_the_first_seeds_and_the_report_says_so(study):
    start(study, Measured(), BEST)
    table = study_table(study.path)
    assert {row.baseline.n for row in table.rows if row.baseline} == {3}
    assert max(row.n for row in table.rows) > 3
    build(study.path)
    for text in ((study.path / "report.md").read_text(), terminal_table(table)):
        said = " ".join(text.split())
        assert "all tests are of the first 3 seeds of each cell" in said
        assert "seeds of the likeliest best cells: " in said
    assert "top-two sampling" in methods(table)
    with (study.path / "table.csv").open() as file:
        assert {row["vs_baseline_n"] for row in csv.DictReader(file)} == {"", "3"}


def test_the_same_again_starts_nothing(study):
    start(study, Measured(), BEST)
    again = Measured()
    assert start(study, again, BEST)
    assert again.submitted == []


def test_a_study_that_is_stopped_again_and_again_makes_the_runs_of_one_that_is_not(study):
    whole = Measured()
    start(study, whole, BEST)
    wanted = whole.keys
    made = in_parts(study, lambda: Measured(capacity=3, stop_after=4), starts=12)
    assert sorted(made) == sorted(wanted), "each run of the whole study was made once, and no other"


def test_a_run_that_fails_holds_nothing_up(study):
    launcher = Measured(dies=lambda cell, seed: (cell, seed) == ("same", 1))
    assert not start(study, launcher, BEST), "one run failed"
    assert len(launcher.submitted) > 12
    silent = Measured(dies=lambda cell, seed: cell == "far")
    for record in study.records():
        study.run(record).record_file.unlink()
    start(study, silent, BEST)
    assert silent.asked()["far"] == 3


def test_a_clear_best_cell_ends_it(study):
    text = BEST.replace("  - {name: same, set: {model.reduction: 8}}\n", "")
    launcher = Measured()
    assert start(study, launcher, text)
    assert len(launcher.submitted) < 24
    said = " ".join(terminal_table(study_table(study.path)).split())
    assert "one is the best with a probability of 0.95 or more" in said


def test_the_plan_tells_expected_and_worst_cost(study):
    before = make_plan(
        prepare(Start(load_sweep(study.path.parent.parent / "sweep.yaml"), study)), Resources(2), lambda _: (1, 1)
    )
    assert (before.missing, before.further.worst) == (12, 24)
    assert 12 <= before.further.expected <= 24
    assert "24 at worst" in plan_text(before)


FAULTS = {
    RULE.replace("runs: 24", "width: 1.0"): "width is not used by stop: best",
    RULE.replace("stop: best, runs: 24", "probability: 0.9"): "probability is not used by stop: resolved",
    RULE.replace("runs: 24", "probability: 1.0"): "replicates.probability",
    RULE.replace("best", "bets"): "did you mean 'best'",
    "seeds: 3\nchoose_best: yess": "choose_best",
}


@pytest.mark.parametrize("keys", FAULTS)
def test_what_is_wrong_is_told_before_anything_starts(toy_files, keys):
    file = toy_files / "sweep.yaml"
    file.write_text(BEST.replace(RULE, keys))
    with pytest.raises(FaultyInputError) as caught:
        load_sweep(file)
    assert FAULTS[keys] in str(caught.value)
    assert len(caught.value.faults) == 1
