"""A study whose baseline has more seeds than the other cells, from its first start to its table."""

import pytest
from launchers import FakeLauncher, Seen
from launchers import start as start_of
from reusing import study as study_in

from sklab.report.build import study_table
from sklab.store.records import Code
from sklab.store.run_folder import RunFolder
from sklab.sweep.design.toy import toy
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan.plan import make_plan
from sklab.sweep.plan.prepared import Start, prepare
from sklab.sweep.plan.prices import Resources

pytestmark = pytest.mark.usefixtures("sound")
FOUR = "seeds: {baseline: 4, others: 2}"


@pytest.fixture
def more(toy_files):
    """The toy sweep with two more seeds of its baseline."""
    text = (toy_files / "sweep.yaml").read_text().replace("seeds: 2", FOUR)
    (toy_files / "sweep.yaml").write_text(text)
    return text


def trained(launcher):
    orders = [RunFolder(job.folder).read_order() for job in launcher.submitted]
    return [(order.cell, order.spec.seed) for order in orders]


def run(study, text=None):
    launcher, seen = FakeLauncher(), Seen()
    assert start_of(study, launcher, text, seen)
    return trained(launcher)


def plan_of(study):
    sweep = load_sweep(study.path.parent.parent / "sweep.yaml")
    started = prepare(Start(sweep, study, Code(version="1", commit="abc")))
    return make_plan(started, Resources(slots=2), lambda _: (1, 1))


def test_what_is_planned_is_trained_once_and_stands_in_the_table(study, more):
    assert [(cell.name, cell.missing) for cell in plan_of(study).cells] == [("K3", 4), ("K3+K5 SK", 2)]
    assert plan_of(study).baseline_seeds == (2, 3)
    assert run(study) == [("K3", 0), ("K3+K5 SK", 0), ("K3", 1), ("K3+K5 SK", 1), ("K3", 2), ("K3", 3)]
    assert run(study) == []
    table = study_table(study.path)
    assert [(row.n, row.planned) for row in table.rows] == [(4, 4), (2, 2)]
    assert table.choice.further is not None


def test_a_study_that_asks_for_them_later_trains_the_missing_ones_alone(study, toy_files):
    plain = (toy_files / "sweep.yaml").read_text()
    run(study)
    assert run(study, plain.replace("seeds: 2", FOUR)) == [("K3", 2), ("K3", 3)]
    assert run(study, plain.replace("seeds: 2", "seeds: 3")) == [("K3+K5 SK", 2)]
    sweep = study.read_sweep()
    assert (sweep.seeds, sweep.baseline_seeds) == ((0, 1, 2, 3), (3,))
    assert [row.n for row in study_table(study.path).rows] == [4, 3]


def test_seeds_that_all_cells_have_already_stay_shared(study, toy_files):
    plain = (toy_files / "sweep.yaml").read_text()
    run(study, plain.replace("seeds: 2", "seeds: 3"))
    assert run(study, plain.replace("seeds: 2", FOUR)) == [("K3", 3)]
    assert study.read_sweep().baseline_seeds == (3,)
    assert [row.n for row in study_table(study.path).rows] == [4, 3]


def test_runs_that_the_baseline_has_in_another_study_are_taken_over(toy_files, start):
    start("sweep")  # two seeds of the cell that is the other study's baseline
    second = (toy_files / "second.yaml").read_text()
    (toy_files / "second.yaml").write_text(second.replace("seeds: 2", "seeds: {baseline: 4, others: 1}"))
    launcher = start("second")
    assert [(order.cell, order.spec.seed) for order in launcher.trained] == [("wide", 0), ("plain", 2), ("plain", 3)]
    study = study_in(toy_files, "second")
    table = study_table(study.path)
    assert [row.n for row in table.rows] == [4, 1]
    assert {origin.study for origin in table.reused.values()} == {"sweep"}
    assert study_table(study_in(toy_files, "sweep").path).choice.further is None


def test_a_toy_has_the_same_seeds_in_every_cell(toy_files, more):
    small = toy(load_sweep(toy_files / "sweep.yaml"))
    assert (small.seeds, small.baseline_seeds) == ((0, 1), ())
    assert {tuple(cell.runs) for cell in small.cells} == {(0, 1)}
