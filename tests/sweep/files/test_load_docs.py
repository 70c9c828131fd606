"""The examples of docs/sweeps.md are loaded as they stand there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from sklab.commands.plan import costs_here
from sklab.commands.screen.plan import plan_text
from sklab.errors import FaultyInputError
from sklab.spec.study.sweep import Sweep
from sklab.store.study_folder import StudyFolder
from sklab.sweep.files.experimentfile import read_experiment
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan.costs import CostCounter
from sklab.sweep.plan.plan import make_plan
from sklab.sweep.plan.prepared import Start, prepare
from sklab.sweep.plan.prices import Resources

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")


def _yaml_by_heading() -> dict[str, str]:
    """The YAML under each heading of the page, which has one block at most."""
    found, heading = {}, ""
    for part in re.findall(r"^```\w+\n.*?^```$|^#+ [^\n]*$", PAGE, re.S | re.M):
        if part.startswith("#"):
            heading = part.lstrip("# ")
        elif part.startswith("```yaml"):
            found[heading] = part.removeprefix("```yaml\n").removesuffix("```")
    return found


YAML = _yaml_by_heading()
EXPERIMENTS = ("Another experiment, other settings", "The test split, at the end")
FAULTY = "When something is wrong"
CELLS = {  # and cells that can't exist
    "Writing a sweep": (2, 0),
    "Paths": (5, 0),
    "`grid`: every combination": (6, 3),
    "`fractional`: a balanced part of the grid": (8, 0),
    "`leave_one_out`: what each component is worth": (4, 0),
    "`ofat`: one factor at a time": (6, 0),
    "`search`: an optimiser chooses the cells": (1, 0),
    "Questions": (5, 0),
    "More seeds of the baseline": (6, 0),
    "Seeds where they are needed": (4, 0),
    "Seeds after a look": (3, 0),
    "More than one kind of chance": (2, 0),
    "The best cell": (4, 0),
    "Tuned for every cell": (6, 0),  # two cells at three settings
    "Seeds that help to find it": (4, 0),
    "Other metrics": (2, 0),
    "Further image sizes": (2, 0),
    "Published figures": (2, 0),
    "Equal budget": (2, 0),
}


@pytest.fixture
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments")
    (tmp_path / "sweeps").mkdir()
    monkeypatch.chdir(tmp_path)


def load(text: str) -> Sweep:
    file = Path("sweeps/mine.yaml")
    file.write_text(text, encoding="utf-8")
    return load_sweep(file)


def test_every_block_on_the_page_is_tried() -> None:
    assert len(YAML) == PAGE.count("```yaml")
    assert set(YAML) == {*CELLS, *EXPERIMENTS, FAULTY}


@pytest.mark.usefixtures("_project")
@pytest.mark.parametrize("heading", CELLS)
def test_every_sweep_on_the_page_loads(heading: str) -> None:
    sweep = load(YAML[heading])
    assert (len(sweep.cells), len(sweep.invalid)) == CELLS[heading]


@pytest.mark.usefixtures("_project")
@pytest.mark.parametrize("heading", EXPERIMENTS)
def test_every_experiment_on_the_page_loads(heading: str) -> None:
    file = Path("experiments/mine.yaml")
    file.write_text(YAML[heading], encoding="utf-8")
    base = read_experiment(file, {})
    assert (base.name, base.faults) == ("mine", ())


@pytest.mark.usefixtures("_project")
def test_the_faulty_file_is_answered_as_the_page_says() -> None:
    answer = re.findall(r"^```text\n(\d+ faults.*?)^```$", PAGE, re.S | re.M)
    with pytest.raises(FaultyInputError) as caught:
        load(YAML[FAULTY])
    assert [f"{caught.value}\n"] == answer


@pytest.mark.usefixtures("_project")
def test_the_warning_of_unequal_budget_is_the_one_on_the_page() -> None:
    sweep = load(YAML["Equal budget"])
    plan = make_plan(
        prepare(Start(sweep, StudyFolder(Path("results/mine")))),
        Resources(1),
        lambda one: CostCounter(costs_here).of([one])[0],
    )
    assert plan_text(plan).splitlines()[-2] in PAGE.splitlines()
