"""Searches: what every sampler keeps to, constraints, two objectives, going on after a kill; no run is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from sweepfiles import SEARCH, SWEEPS, changed, faults_of, load

from sklab.commands.screen.plan import plan_text
from sklab.errors import SklabError
from sklab.spec.study.search import Cost
from sklab.spec.study.sweep import Metric, Sweep
from sklab.store.records import RunRecord
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import grid
from sklab.sweep.design.space import choices_by_lot, searchable, space_costs, space_of
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan.plan import make_plan
from sklab.sweep.plan.prepared import Start, prepare
from sklab.sweep.plan.prices import Resources
from sklab.sweep.run.index import StudyIndex, Todo

SPACE = """\
experiment: toy.yaml
design: search
seeds: 2
baseline: {{r: 4, w: 8, L: 8}}
search: {search}
factors:
  r: {{path: model.reduction, levels: [2, 4, 8]}}
  w: {{path: model.width, levels: [4, 8, 12]}}
  L: {{path: train.batch_size, levels: [8, 16]}}
"""
LIMITED = "trials: 6, seed: 3, constraints: {params: {max: 1k}}"
SAMPLERS = ["tpe", "nsga2", "random", "qmc"]
ONE, TWO = "[val_error]", "[val_error, macs]"
SEARCHES = [*((sampler, ONE) for sampler in SAMPLERS), ("tpe", TWO), ("nsga2", TWO)]


def sweep_of(folder: Path, search: str) -> Sweep:
    (folder / "search.yaml").write_text(SPACE.format(search=f"{{{search}}}"))
    return load_sweep(folder / "search.yaml")


def weight(factors: Mapping[str, str]) -> int:
    return 100 * int(factors["w"]) - 10 * int(factors["r"]) + int(factors["L"])


def costs_of(sweep: Sweep) -> dict[str, Cost]:
    return {cell.name: Cost(params=weight(cell.factors), macs=7 * weight(cell.factors)) for cell in searchable(sweep)}


@pytest.fixture
def ended(toy_order: Callable) -> Callable[..., RunRecord]:
    def make(todo: Todo, status: str = "complete") -> RunRecord:
        order = toy_order(seed=todo.seed)
        update = {"key": todo.key, "cell": todo.cell.name, "factors": todo.cell.factors}
        numbers = {"params": weight(todo.cell.factors), "macs": 7 * weight(todo.cell.factors), "epochs": 2}
        error = 5000 / weight(todo.cell.factors) + int(todo.cell.factors["L"]) + todo.seed
        metrics = {"val_error": error, "val_loss": 1.0}
        return RunRecord.of(order.model_copy(update=update), status=status, last=metrics, best=metrics, **numbers)

    return make


def search(folder: Path, sweep: Sweep, ended: Callable, records: dict, die_after: int = -1) -> Sweep:
    """Run a study with one slot, as the runner would; `die_after` so many runs it dies with one handed out."""
    index = StudyIndex(folder / "study.log", sweep, records, costs_of(sweep))
    while todo := index.next():
        if len(records) == die_after:
            return index.sweep
        records[todo.key] = ended(todo)
        index.tell(records[todo.key])
    return index.sweep


def states(folder: Path, sweep: Sweep, records: Mapping[str, RunRecord]) -> list[str]:
    index = StudyIndex(folder / "study.log", sweep, records, costs_of(sweep))
    return [trial.state.name for trial in index._trials._study.trials]


@pytest.mark.parametrize(("sampler", "objectives"), SEARCHES)
class TestEverySampler:
    def test_trains_as_many_distinct_cells_of_its_space_as_asked_and_none_beyond_the_limit(
        self, toy_files, ended, sampler, objectives
    ):
        sweep = sweep_of(toy_files, f"sampler: {sampler}, objectives: {objectives}, {LIMITED}")
        records: dict = {}
        found = search(toy_files, sweep, ended, records)
        names = [cell.name for cell in found.cells if cell.name != found.baseline]
        assert len(names) == len(set(names)) == 6
        assert set(names) <= {cell.name for cell in searchable(sweep)}
        assert all(weight(cell.factors) <= 1000 for cell in found.cells)
        assert len(records) == 7 * 2, "every cell has every seed"
        assert all(weight(cell.factors) > 1000 and "at most 1,000" in cell.reason for cell in found.invalid)

    def test_killed_anywhere_it_finds_what_it_would_have_found(self, toy_files, ended, sampler, objectives):
        sweep = sweep_of(toy_files, f"sampler: {sampler}, objectives: {objectives}, {LIMITED}")
        (toy_files / "other").mkdir()
        undisturbed = search(toy_files / "other", sweep, ended, {})
        records: dict = {}
        for die_after in (0, 1, 5, 5, 10, -1):
            sweep = search(toy_files, sweep, ended, records, die_after)
        assert [cell.name for cell in sweep.cells] == [cell.name for cell in undisturbed.cells]

    def test_the_seed_decides(self, toy_files, ended, sampler, objectives):
        found = []
        for seed in (3, 3, 4):
            sweep = sweep_of(toy_files, f"sampler: {sampler}, objectives: {objectives}, trials: 4, seed: {seed}")
            (toy_files / "study.log").unlink(missing_ok=True)
            found.append([cell.name for cell in search(toy_files, sweep, ended, {}).cells])
        assert found[0] == found[1] != found[2]

    def test_goes_on_without_its_journal(self, toy_files, ended, sampler, objectives):
        sweep = sweep_of(toy_files, f"sampler: {sampler}, objectives: {objectives}, {LIMITED}")
        records: dict = {}
        sweep = search(toy_files, sweep, ended, records, die_after=7)
        before = set(records)
        (toy_files / "study.log").unlink()
        sweep = search(toy_files, sweep, ended, records)
        assert len(sweep.cells) == 7
        assert before < set(records)


@pytest.mark.parametrize(("sampler", "objectives"), [("qmc", ONE), ("nsga2", TWO)])
def test_every_cell_is_found_when_more_are_asked_for_than_there_are(toy_files, ended, sampler, objectives):
    search_all = f"sampler: {sampler}, objectives: {objectives}, {LIMITED}".replace("trials: 6", "trials: 100")
    sweep = sweep_of(toy_files, search_all)
    found = search(toy_files, sweep, ended, {})
    feasible = {cell.name for cell in searchable(sweep) if weight(cell.factors) <= 1000}
    assert {cell.name for cell in found.cells} == feasible


def test_by_lot_every_choice_comes_once_in_one_order_from_another_place(toy_files):
    sweep = sweep_of(toy_files, "trials: 4")
    orders = [[tuple(choice.items()) for choice in choices_by_lot(sweep, found)] for found in range(9)]
    assert all(len(order) == len(set(order)) == len(list(grid(sweep.factors))) for order in orders)
    assert len({order[0] for order in orders}) > 1
    assert all(order[order.index(orders[0][0]) :] + order[: order.index(orders[0][0])] == orders[0] for order in orders)


def test_the_sampler_is_told_the_mean_over_seeds_and_the_cost(toy_files, ended):
    sweep = sweep_of(toy_files, "trials: 1, objectives: [val_error, params]")
    records: dict = {}
    found = search(toy_files, sweep, ended, records)
    index = StudyIndex(toy_files / "study.log", found, records, costs_of(sweep))
    told = {trial.user_attrs["run"]: trial.values for trial in index._trials._study.trials}
    for cell in found.cells:
        first, second = (records[key].last["val_error"] for key in cell.runs.values())
        assert first != second
        assert told[cell.name] == [pytest.approx((first + second) / 2), weight(cell.factors)]


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_a_search_for_what_is_better_when_higher_finds_the_cells_of_its_mirror_image(toy_files, ended, sampler):
    def turned(todo: Todo) -> RunRecord:
        record = ended(todo)
        return record.model_copy(update={"last": {**record.last, "val_macro_f1": 100 - record.last["val_error"]}})

    sweep = sweep_of(toy_files, f"sampler: {sampler}, trials: 14")
    mirrored = sweep.model_copy(update={"metric": Metric(name="val_macro_f1")})
    (toy_files / "other").mkdir()
    found, mirror = search(toy_files, sweep, ended, {}), search(toy_files / "other", mirrored, turned, {})
    assert [cell.name for cell in mirror.cells] == [cell.name for cell in found.cells]


def test_an_infeasible_proposal_is_told_with_its_excess_and_no_value(toy_files, ended):
    sweep = sweep_of(toy_files, LIMITED)
    search(toy_files, sweep, ended, {})
    index = StudyIndex(toy_files / "study.log", sweep, {}, costs_of(sweep))
    refused = [trial for trial in index._trials._study.trials if "run" not in trial.user_attrs and trial.constraints]
    assert refused
    for trial in refused:
        assert trial.constraints == {"params": pytest.approx(weight(trial.params) / 1000 - 1)}
        assert (trial.state.name, trial.values) == ("PRUNED", None)


def test_a_pruned_run_ends_its_cell(toy_files, ended):
    sweep = sweep_of(toy_files, "trials: 2, pruning: {rule: median}")
    index = StudyIndex(toy_files / "study.log", sweep, {}, {})
    records = {}
    for status in ("complete", "complete", "pruned", "complete", "complete"):
        todo = index.next()
        records[todo.key] = ended(todo, status)
        index.tell(records[todo.key])
    assert index.next() is None
    pruned = index.sweep.cells[1]
    assert [key in records for key in pruned.runs.values()] == [True, False], "its other seed is not trained"
    again = StudyIndex(toy_files / "study.log", index.sweep, records, {})
    assert (again.next(), again.remaining) == (None, 0), "nor is it after a restart"
    assert states(toy_files, index.sweep, records) == ["COMPLETE", "PRUNED", "COMPLETE"]


def test_a_search_that_finds_too_little_says_so(toy_files, ended):
    sweep = sweep_of(toy_files, "sampler: random, trials: 100, constraints: {params: {max: 400}}")
    index = StudyIndex(toy_files / "study.log", sweep, {}, costs_of(sweep))
    while todo := index.next():
        index.tell(ended(todo))
    assert index.shortfall == "the search space holds no more cells that may be trained: 6 found, 100 wanted"


def count(experiments: list) -> list[tuple[int, int]]:
    return [(1000 * one.model.width, 10) for one in experiments]


def test_costs_are_counted_once_for_each_network_and_only_where_they_are_needed(toy_files):
    asked: list = []

    def counting(experiments: list) -> list[tuple[int, int]]:
        asked.extend(experiments)
        return count(experiments)

    assert space_costs(sweep_of(toy_files, "trials: 2"), counting) == {}
    sweep = sweep_of(toy_files, "trials: 2, objectives: [val_error, params]")
    text = (toy_files / "search.yaml").read_text().replace("train.batch_size, levels: [8, 16]", "train.lr, levels: [1]")
    (toy_files / "search.yaml").write_text(text.replace("L: 8", "L: 1"))
    sweep = load_sweep(toy_files / "search.yaml")
    costs = space_costs(sweep, counting)
    assert len(asked) == len(costs) == 9
    assert costs["r=2, w=12, L=1"] == Cost(params=12000, macs=10)


def test_a_space_without_a_feasible_cell_is_refused(toy_files):
    sweep = sweep_of(toy_files, "trials: 2, constraints: {params: {max: 3k}}")
    with pytest.raises(SklabError, match=r"nothing was trained\. The nearest is r=2, w=4, L=8: 4,000 parameters, at"):
        space_costs(sweep, count)


def test_the_plan_says_how_many_cells_keep_the_constraints(toy_files):
    sweep = sweep_of(toy_files, "trials: 2, constraints: {params: {max: 8k}, macs: {max: 1M}}")
    costs = space_costs(sweep, count)
    plan = make_plan(
        prepare(Start(sweep, StudyFolder(toy_files / "results" / "x"), costs=costs)), Resources(1), lambda _: (1, 1)
    )
    told = "search space: 18 combinations of levels, 18 can exist, 12 keep the constraints"
    assert told in plan_text(plan).splitlines()
    assert space_of(sweep_of(toy_files, "trials: 2"), {}) is None


@pytest.mark.parametrize(
    ("search", "place", "told"),
    [
        ({"sampler": "nsga"}, "search.sampler", "did you mean 'nsga2'"),
        ({"constraints": {"params": {"max": "28X"}}}, "search.constraints.params.max", "28M is 28,000,000"),
        ({"constraints": {"params": {"max": 0}}}, "search.constraints.params.max", "above 0"),
        ({"constraints": {"params": "28M"}}, "search.constraints.params", "a mapping with max"),
        ({"constraints": {}}, "search.constraints", "limits nothing"),
        ({"constraints": {"parms": {"max": 3}}}, "search.constraints.parms", "did you mean 'params'"),
        ({"objectives": ["val_eror", "macs"]}, "search.objectives.0", "did you mean 'val_error'"),
        ({"objectives": ["val_loss"]}, "search.objectives.0", "val_error, params, macs"),
        ({"objectives": ["macs", "val_error"]}, "search.objectives", "[val_error, macs]"),
        ({"pruning": {"rule": "medan"}}, "search.pruning.rule", "did you mean 'median'"),
        ({"pruning": {"rule": "median", "factor": 2}}, "search.pruning", "not used by rule: median"),
        ({"pruning": {"rule": "halving", "start": 0}}, "search.pruning.start", "at least 1"),
    ],
)
def test_what_is_wrong_with_a_search_is_told(tmp_path, search, place, told):
    fault = faults_of(tmp_path, changed(SEARCH, search={"trials": 3, **search}))[place]
    assert told in f"{fault}"


@pytest.mark.parametrize("design", [name for name in SWEEPS if name != "search"])
def test_designed_ablations_are_not_pruned(tmp_path, design):
    faults = faults_of(tmp_path, changed(SWEEPS[design], search={"trials": 3, "pruning": {"rule": "median"}}))
    assert "can't be compared" in faults["search.pruning"].message
    assert "search" in faults


def test_epochs_are_not_varied_where_runs_are_compared_at_the_same_epoch(tmp_path):
    text = SEARCH.replace("model.reduction", "train.epochs")
    assert load(tmp_path, text).search.pruning is None
    fault = faults_of(tmp_path, changed(text, search={"trials": 3, "pruning": {"rule": "median"}}))
    assert "at the same epoch" in fault["factors.r.path"].message
