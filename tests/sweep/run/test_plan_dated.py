"""A start of a study writes its plan down before the first run, and what it plans otherwise before the next one."""

from __future__ import annotations

import pytest
from scripted import BUG, Scripted, start

from sklab.store.dated import read_plans

pytestmark = pytest.mark.usefixtures("quiet_machine")


class Watching(Scripted):
    """Keeps how many plans there were when each run was started."""

    def __init__(self, study, **script):
        super().__init__(**script)
        self.study, self.plans = study, []

    def submit(self, job):
        self.plans.append(len(read_plans(self.study).every))
        super().submit(job)


def test_the_plan_is_there_before_the_first_run(study):
    launcher = Watching(study)
    assert start(study, launcher)
    assert launcher.plans == [1, 1, 1, 1]
    (plan,) = read_plans(study).every
    assert {cell.name: len(cell.runs) for cell in plan.sweep.cells} == {"K3": 2, "K3+K5 SK": 2}


def test_a_start_that_goes_on_plans_nothing_new(study):
    start(study, Watching(study, script=lambda *_: BUG))
    start(study, again := Watching(study))
    assert again.plans == [1, 1, 1, 1]


def test_seeds_that_are_added_are_planned_before_they_are_trained(study, toy_files):
    start(study, Watching(study))
    sweep = toy_files / "sweep.yaml"
    sweep.write_text(sweep.read_text().replace("seeds: 2", "seeds: 3"))
    start(study, more := Watching(study))
    assert more.plans == [2, 2]
    sweep.write_text(sweep.read_text().replace("seeds: 3", "seeds: 2"))
    start(study, Watching(study))
    assert len(read_plans(study).every) == 2  # finished runs stay in the table
