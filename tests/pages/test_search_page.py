"""docs/search.md against the program: its sweep loads, its numbers are the program's."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from sklab.commands.plan import costs_here
from sklab.commands.screen.plan import plan_text
from sklab.spec.limits import CELLS
from sklab.spec.study.search import Pruning, Search
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.space import space_costs
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan.costs import CostCounter
from sklab.sweep.plan.plan import make_plan
from sklab.sweep.plan.prepared import Start, prepare
from sklab.sweep.plan.prices import Resources
from sklab.sweep.run import study

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
[SWEEP] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
[TOLD] = re.findall(r"```text\n(.*?)\n```", PAGE, re.DOTALL)


def test_its_sweep_loads_and_plans_as_the_page_says(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments")
    (tmp_path / "sweeps").mkdir()
    file = tmp_path / "sweeps" / "small.yaml"
    file.write_text(SWEEP, encoding="utf-8")
    sweep = load_sweep(file)
    costs = space_costs(sweep, CostCounter(costs_here).of)
    plan = make_plan(
        prepare(Start(sweep, StudyFolder(tmp_path / "results" / "small"), costs=costs)), Resources(1), lambda _: (1, 1)
    )
    assert TOLD in plan_text(plan).splitlines()


def test_every_sampler_and_default_stands_on_the_page() -> None:
    for sampler in ("tpe", "nsga2", "random", "qmc"):
        assert Search(sampler=sampler, trials=1).sampler == sampler
        assert f"`{sampler}` (" in PAGE or f"`{sampler}`" in PAGE
    defaults = Pruning(rule="median")
    assert f"from epoch `start` ({defaults.start}) on, once there are `peers` ({defaults.peers})" in PAGE
    assert f"`start` x `factor` ({defaults.factor})" in PAGE
    assert study._PARENTS == 5
    assert f"at most {CELLS:,} combinations" in PAGE
