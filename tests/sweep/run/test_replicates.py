"""More seeds for the cells that need them: from the sweep file to the report, with runs that are faked."""

from __future__ import annotations

import re

import numpy as np
import pytest
from launchers import in_parts, start
from measured import SWEEP, Measured

from sklab.commands.screen.plan import plan_text
from sklab.errors import FaultyInputError
from sklab.report.build import study_table
from sklab.report.build import write as write_report
from sklab.report.figures.evidence import sequential_figure
from sklab.report.tables.terminal import terminal_table
from sklab.report.words.methods import methods
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.toy import toy
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan.plan import make_plan
from sklab.sweep.plan.prepared import Start, prepare
from sklab.sweep.plan.prices import Resources
from sklab.sweep.state.status import study_status

pytestmark = pytest.mark.usefixtures("sound")


@pytest.fixture
def study(toy_files) -> StudyFolder:
    (toy_files / "sweep.yaml").write_text(SWEEP)
    return StudyFolder(toy_files / "results" / "sweep")


def plan(study: StudyFolder):
    sweep = load_sweep(study.path.parent.parent / "sweep.yaml")
    return make_plan(prepare(Start(sweep, study)), Resources(2), lambda _: (1, 1))


def test_seeds_go_to_the_cells_that_need_them_and_the_table_tells_when_each_was_settled(study):
    launcher = Measured()
    assert start(study, launcher)
    asked = launcher.asked()
    assert asked["far"] < asked["near"] <= asked["usual"] <= 10
    assert sum(asked.values()) < 40
    table = study_table(study.path)
    assert {row.name: row.planned for row in table.rows} == asked
    assert not any(row.unfinished for row in table.rows)
    told = dict(zip([cell.name for cell in table.sweep.cells], table.race.verdict, strict=True))
    assert (told["usual"], told["far"]) == ("", "worse")
    assert list(table.race.decided_at)[1:] == [asked[name] for name in ("same", "far", "near")]
    shown = " ".join(terminal_table(table).split())
    assert f"far worse at {asked['far']} seeds" in shown
    assert "not all cells have all seeds; fitted by least squares" in shown
    assert "missing" not in shown + methods(table), "no run is missing that was never called for"


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("start: 3, max: 4", "near undecided at 4 seeds, the most that it may have"),
        (
            "start: 3, max: 10, width: 0.01, runs: 14",
            "same, far, near undecided at 3 seeds: one more for all in doubt would make more than 14 runs",
        ),
    ],
)
def test_what_stopped_an_undecided_cell_is_told(study, toy_files, rule, told):
    (toy_files / "sweep.yaml").write_text(SWEEP.replace("start: 3, max: 10", rule))
    assert start(study, Measured())
    assert told in " ".join(terminal_table(study_table(study.path)).split())


def test_the_same_again_starts_nothing(study):
    assert start(study, Measured())
    again = Measured()
    assert start(study, again)
    assert again.submitted == []


def test_a_study_that_is_stopped_again_and_again_makes_the_runs_of_one_that_is_not(study):
    whole = Measured()
    start(study, whole)
    wanted = whole.keys
    made = in_parts(study, lambda: Measured(capacity=3, stop_after=5), starts=10)
    assert sorted(made) == sorted(wanted), "each run of the whole study was made once, and no other"


def test_a_run_that_fails_holds_nothing_up_and_is_tried_again_by_the_next_start(study):
    first = Measured(dies=lambda cell, seed: (cell, seed) == ("near", 1))
    assert not start(study, first), "one run failed"
    assert first.asked()["near"] > 3, "the cell went on with its other seeds"
    again = Measured()
    start(study, again)
    seeds = [(order.cell, order.spec.seed) for job in again.submitted for order in [RunFolder(job.folder).read_order()]]
    assert seeds[0] == ("near", 1)
    assert len(study.records()) == len(first.submitted) + len(again.submitted) - 1


def test_a_cell_without_numbers_and_a_baseline_without_numbers_end(study):
    launcher = Measured(dies=lambda cell, seed: cell == "near")
    start(study, launcher)
    assert launcher.asked()["near"] == 3
    table = study_table(study.path)
    assert list(table.race.verdict)[3] == "no test"
    for record in study.records():
        study.run(record).record_file.unlink()
    alone = Measured(dies=lambda cell, seed: cell == "usual")
    start(study, alone)
    assert set(alone.asked().values()) == {3}


def test_the_budget_of_runs_is_kept(study):
    text = SWEEP.replace("stop: resolved", "runs: 17")
    launcher = Measured()
    assert start(study, launcher, text)
    assert 12 < len(launcher.submitted) <= 17
    assert "undecided" in set(study_table(study.path).race.verdict)


def test_cells_that_are_equal_within_the_stated_width_get_no_more_seeds(study):
    without = Measured()
    start(study, without, SWEEP.replace("stop: resolved", "width: 120.0"))
    assert set(study_table(study.path).race.verdict) <= {"", "worse", "equal within width"}
    assert without.asked()["same"] == 3


def test_the_plan_tells_expected_and_worst_cost_and_shrinks_with_every_seed(study):
    before = plan(study)
    assert (before.missing, before.further.worst, before.further.seen) == (12, 40, False)
    assert 12 <= before.further.expected < 40
    expected = f"{before.further.expected} runs to go are expected if no cell differs; 40 at worst"
    assert plan_text(before).splitlines()[-1] == f"3 to 10 seeds as needed: {expected}"
    with pytest.raises(KeyboardInterrupt):
        start(study, Measured(stop_after=13))
    during = plan(study)
    assert during.complete == 13
    assert during.further.worst == 27
    assert during.further.expected_seconds == pytest.approx(during.further.expected * 7 / 2)
    assert "if differences are as seen so far, about" in plan_text(during)
    start(study, Measured())
    after = plan(study)
    assert (after.missing, after.further.expected) == (0, 0)
    status = study_status(study.read_sweep(), study, study.records(), 0.0)
    assert (status.counts["waiting"], status.total) == (0, len(study.records()))


def test_the_report_draws_how_the_intervals_closed_and_takes_it_back(study):
    start(study, Measured())
    page = write_report(study.path, study_table(study.path)).read_text()
    assert "how the intervals closed" in page
    assert "3 to 10 seeds as needed" in page
    figure = study.path / "figures" / "looks.svg"
    assert figure.exists()
    start(study, Measured(), SWEEP.replace("replicates: {start: 3, max: 10, stop: resolved}", "seeds: 3"))
    write_report(study.path, study_table(study.path))
    assert not figure.exists()


def test_intervals_of_the_first_looks_do_not_hide_those_of_the_last(study, toy_files):
    (toy_files / "sweep.yaml").write_text(SWEEP.replace("start: 3, max: 10", "start: 2, max: 10"))
    start(study, Measured())
    table = study_table(study.path)
    write_report(study.path, table)
    svg = (study.path / "figures" / "looks.svg").read_text()
    ticks = [float(tick) for tick in re.findall(r">(\d+)</text>", svg)]
    assert np.nanmax(table.race.looks[0].half) > 500 > 10 * max(ticks)
    (figure,) = sequential_figure(table)
    assert "interval that goes beyond the axis ends in an arrowhead; the widest is ±" in figure.caption


FAULTS = {
    "replicates: {start: 3, max: 10}\nseeds: 3": "replicates: takes the place of seeds",
    "replicates: {start: 1, max: 10}": "replicates.start",
    "replicates: {start: 3, max: 3}": "replicates: max must be larger than start",
    "replicates: {start: 3, max: 5000}": "replicates.max",
    "replicates: {start: 3, max: 10, stop: never}": "replicates.stop",
    "replicates: {start: 3, max: 10, width: 0}": "replicates.width",
    "replicates: {start: 3, max: 10, runs: 11}": "the first seeds alone are more runs; found 11; allowed: 12",
    "replicates: {start: 3, max: 10, stopp: resolved}": "did you mean 'stop'",
    "replicates: 3": "replicates: wrong type",
    "question: none": "seeds: missing",
    "replicates: {start: 3, max: 10}\nmost_seeds: 10": "most_seeds: not used with replicates, which has max",
    "seeds: 3\nmost_seeds: 2": "most_seeds: fewer than the seeds; found 2; allowed: 3 or more",
    "seeds: 3\nmost_seeds: 5000": "most_seeds",
}


@pytest.mark.parametrize("keys", FAULTS)
def test_what_is_wrong_is_told_before_anything_starts(toy_files, keys):
    file = toy_files / "sweep.yaml"
    file.write_text(SWEEP.replace("replicates: {start: 3, max: 10, stop: resolved}", keys))
    with pytest.raises(FaultyInputError) as caught:
        load_sweep(file)
    assert FAULTS[keys] in str(caught.value)
    assert len(caught.value.faults) == 1


def test_a_search_has_seeds(toy_files):
    text = SWEEP.split("cells:")[0].replace("list", "search").replace("baseline: usual", "baseline: {r: 4}")
    factors = "search: {trials: 2}\nfactors:\n  r: {path: model.reduction, levels: [2, 4, 8]}\n"
    (toy_files / "sweep.yaml").write_text(text + factors)
    with pytest.raises(FaultyInputError, match="replicates: not used by design: search"):
        load_sweep(toy_files / "sweep.yaml")


def test_seeds_on_the_command_line_and_a_toy_are_the_same_for_every_cell(study):
    file = study.path.parent.parent / "sweep.yaml"
    assert load_sweep(file, seeds=4).replicates is None
    assert load_sweep(file, seeds=4).seeds == (0, 1, 2, 3)
    small = toy(load_sweep(file))
    assert (small.replicates, small.seeds) == (None, (0, 1))


PAIRS = """\
experiment: toy.yaml
design: grid
replicates: {start: 3, max: 10, stop: questions}
baseline: {r: 2, lr: 0.1}
factors:
  r: {path: model.reduction, levels: [2, 8]}
  lr: {path: train.lr, levels: [0.1, 0.3]}
questions:
  rate: {of: lr, from: 0.1, to: 0.3}
"""
QUESTIONS = """\
questions:
  far: {cells: [far], against: [usual]}
  same: {cells: [same], against: [usual]}
"""


def test_seeds_go_to_the_cells_of_open_questions_and_the_report_answers_them(study, toy_files):
    (toy_files / "sweep.yaml").write_text(SWEEP.replace("stop: resolved", "stop: questions") + QUESTIONS)
    launcher = Measured()
    assert start(study, launcher)
    asked = launcher.asked()
    assert asked["near"] == 3, "no question is about it"
    assert asked["far"] < asked["same"] == asked["usual"]
    table = study_table(study.path)
    assert [answer.verdict for answer in table.questions] == ["higher", "undecided"]
    assert table.questions[0].versus.adjusted < 0.05
    shown = " ".join(terminal_table(table).split())
    assert shown.count("Far raises the validation error by") == 1
    assert f"planned questions, under repeated looking: far worse at {asked['far']} seeds" in shown
    assert "shared among the questions after Holm" in methods(table)
    assert sequential_figure(table)
    assert write_report(study.path, table).exists()


def test_stop_questions_needs_questions(study, toy_files):
    (toy_files / "sweep.yaml").write_text(SWEEP.replace("stop: resolved", "stop: questions"))
    with pytest.raises(FaultyInputError, match=r"replicates\.stop: needs the key questions"):
        load_sweep(toy_files / "sweep.yaml")


def test_the_plan_says_what_each_question_could_show(study, toy_files):
    fixed = SWEEP.replace("replicates: {start: 3, max: 10, stop: resolved}", "seeds: 4") + QUESTIONS
    (toy_files / "sweep.yaml").write_text(fixed)
    before = plan(study)
    assert [one.question for one in before.power.questions] == ["far", "same"]
    assert before.power.spread is None
    assert "the spread of a run is not known yet: state one with --spread" in plan_text(before)
    stated = make_plan(
        prepare(Start(load_sweep(toy_files / "sweep.yaml"), study)), Resources(2), lambda _: (1, 1), spread=3.0
    )
    in_spreads = [one.detectable for one in before.power.questions]
    assert [one.detectable for one in stated.power.questions] == pytest.approx([3 * one for one in in_spreads])
    assert start(study, Measured())
    after = plan(study)
    assert 0.3 < after.power.spread < 3
    assert "from 16 runs of this study" in plan_text(after)


def test_a_cell_that_always_fails_takes_its_pair_out_of_a_question_not_the_question(study, toy_files):
    """Two pairs differ in the rate alone; one cell of the second never ends well."""
    (toy_files / "sweep.yaml").write_text(PAIRS)
    launcher = Measured(dies=lambda cell, _: cell == "r=8, lr=0.3")
    start(study, launcher)
    [answer] = study_table(study.path).questions
    assert [str(pair) for pair in answer.left_out] == ["r=8, lr=0.3 against r=8, lr=0.1"]
    assert answer.verdict == "higher"
    assert answer.versus.adjusted < 0.05


def test_a_question_that_is_equal_within_a_width_says_the_width(study, toy_files):
    rule = "start: 3, max: 10, stop: questions, width: 9"
    (toy_files / "sweep.yaml").write_text(SWEEP.replace("start: 3, max: 10, stop: resolved", rule) + QUESTIONS)
    assert start(study, Measured())
    table = study_table(study.path)
    assert table.questions[1].verdict == "equivalent"
    assert "Same makes no difference of 9 points or more" in " ".join(terminal_table(table).split())
