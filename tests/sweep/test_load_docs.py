"""The examples of docs/sweeps.md are loaded as they stand there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from sklab.cli import _cost
from sklab.errors import FaultyInputError
from sklab.records import StudyFolder
from sklab.spec.sweep import Sweep
from sklab.sweep.load import load_experiment, load_sweep
from sklab.sweep.plan import make_plan
from sklab.text import plan_text

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8"), re.S | re.M)
YAML = [text for kind, text in BLOCKS if kind == "yaml"]
LIST, NETWORKS, GRID, OFAT, SEARCH, PUBLISHED, BUDGET, EXPERIMENT, FAULTY = YAML


@pytest.fixture
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments")
    (tmp_path / "sweeps").mkdir()
    monkeypatch.chdir(tmp_path)


def load(text: str) -> Sweep:
    file = Path("sweeps/mine.yaml")
    file.write_text(text, encoding="utf-8")
    return load_sweep(file)


@pytest.mark.usefixtures("_project")
@pytest.mark.parametrize(
    ("text", "cells", "invalid"),
    [(LIST, 2, 0), (NETWORKS, 6, 0), (GRID, 6, 3), (OFAT, 6, 0), (SEARCH, 1, 0), (PUBLISHED, 2, 0), (BUDGET, 2, 0)],
)
def test_every_sweep_on_the_page_loads(text: str, cells: int, invalid: int) -> None:
    sweep = load(text)
    assert (len(sweep.cells), len(sweep.invalid)) == (cells, invalid)


@pytest.mark.usefixtures("_project")
def test_the_experiment_on_the_page_loads() -> None:
    file = Path("experiments/mine.yaml")
    file.write_text(EXPERIMENT, encoding="utf-8")
    assert load_experiment(file)[0] == "mine"


@pytest.mark.usefixtures("_project")
def test_the_faulty_file_is_answered_as_the_page_says() -> None:
    answer = next(text for kind, text in BLOCKS if kind == "text" and "faults" in text)
    with pytest.raises(FaultyInputError) as caught:
        load(FAULTY)
    assert f"{caught.value}\n" == answer


@pytest.mark.usefixtures("_project")
def test_the_warning_of_unequal_budget_is_the_one_on_the_page() -> None:
    sweep = load(BUDGET)
    plan = make_plan(sweep, StudyFolder(Path("results/mine")), 1, _cost)
    assert plan_text(plan).splitlines()[-2] in [line for _, text in BLOCKS for line in text.splitlines()]
