"""What a study makes of pruning and of a pruned run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sklab.analysis.table.ablation import ablation_table
from sklab.cli import main
from sklab.commands import plan
from sklab.commands.screen.status import status_text
from sklab.launch.base import Ended, Job
from sklab.report.tables.terminal import terminal_table
from sklab.report.words import sentences
from sklab.spec.study.search import Cost
from sklab.spec.study.sweep import Metric, Sweep
from sklab.store.records import Code, RunRecord, Tracking
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.space import space_costs
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan.costs import CostCounter
from sklab.sweep.plan.prepared import Start
from sklab.sweep.plan.reuse import offers
from sklab.sweep.plan.trained_data import HeldData
from sklab.sweep.run import runner
from sklab.sweep.run.orders import State
from sklab.sweep.run.pruning import Pruner, read_values
from sklab.sweep.run.runner import run_study
from sklab.sweep.state.status import study_status

SEARCH = """\
experiment: toy.yaml
design: search
seeds: 2
baseline: {r: 4, w: 8}
search: {sampler: random, trials: 4%s}
factors:
  r: {path: model.reduction, levels: [2, 4, 8]}
  w: {path: model.width, levels: [4, 8]}
"""
PRUNING = ", pruning: {rule: median, peers: 1}"


class Training:
    """Two slots. Runs finish an epoch at each look, with errors as `levels` says, and end as pruned when asked to."""

    kind, capacity = "fake", 2

    def __init__(self, levels: Callable[[str], float]) -> None:
        self._levels, self.submitted = levels, 0
        self._running: list[Job] = []

    def submit(self, job: Job) -> None:
        RunFolder(job.folder).begin_attempt()
        self.submitted += 1
        self._running.append(job)

    def wait(self, timeout: float) -> list[Ended]:
        ended = [job for job in self._running if self._step(RunFolder(job.folder))]
        self._running = [job for job in self._running if job not in ended]
        return [Ended(job, 0) for job in ended]

    def _step(self, run: RunFolder) -> bool:
        order = run.read_order()
        epochs, error = len(read_values(run, Metric())), self._levels(order.cell)
        metrics = {"val_error": error, "val_loss": 1.0}
        if run.prune_file.exists():
            asked = run.prune_file.read_text()
            run.write_record(RunRecord.of(order, status="pruned", reason=asked, epochs=epochs, last=metrics, macs=9))
        elif epochs == order.spec.experiment.train.epochs:
            run.weights_file.touch()
            run.write_record(RunRecord.of(order, status="complete", epochs=epochs, last=metrics, best=metrics, macs=9))
        else:
            begun = run.metrics_file.exists()
            with run.metrics_file.open("a") as file:
                file.write(("" if begun else "epoch,val_loss,val_error\n") + f"{epochs + 1},1.0,{error}\n")
        return run.record_file.exists()

    def adopt(self, jobs: object) -> list[Job]:
        return []

    def drain(self) -> None:
        raise AssertionError("nobody asked for it")

    def stop(self) -> None:
        self._running = []

    def judge(self, job: Job, *, sick: bool) -> str:
        return ""

    def fewer(self) -> bool:
        return False


class Seen:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.records: list[RunRecord] = []

    def note(self, text: str, state: object) -> None:
        self.notes.append(text)

    def ended(self, record: RunRecord, state: State) -> None:
        self.records.append(record)
        assert state.counts["failed"] == state.counts["diverged"] == 0

    def look(self, state: object) -> None:
        pass


@pytest.fixture
def study(toy_files: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    monkeypatch.setattr(runner, "ensure_sound", lambda *_: HeldData())
    text = (toy_files / "toy.yaml").read_text().replace("epochs: 2", "epochs: 5")
    (toy_files / "toy.yaml").write_text(text)
    return StudyFolder(toy_files / "results" / "sweep")


def sweep_of(study: StudyFolder, pruning: str = PRUNING) -> Sweep:
    file = study.path.parent.parent / "sweep.yaml"
    file.write_text(SEARCH % pruning)
    return load_sweep(file)


def start(study: StudyFolder, launcher: object, pruning: str = PRUNING, seen: Seen | None = None, **costs) -> bool:
    sweep = sweep_of(study, pruning)
    return run_study(Start(sweep, study, Code(version="1"), **costs), launcher, Tracking(), seen or Seen())


def bad_if_wide(cell: str) -> float:
    return 50.0 if "w=4" in cell else 10.0


def test_a_pruned_run_is_no_failure_takes_no_part_in_the_table_and_is_not_trained_again(study):
    launcher, seen = Training(bad_if_wide), Seen()
    assert start(study, launcher, seen=seen), "a pruned run is no failure"
    sweep, records = study.read_sweep(), study.records()
    pruned = [record for record in records.values() if record.status == "pruned"]
    assert {record.cell for record in pruned} == {cell.name for cell in sweep.cells if "w=4" in cell.name} != set()
    assert all(record.final and record.epochs < 5 for record in pruned)
    reasons = {record.reason for record in pruned}
    assert "another seed of its cell was pruned" in reasons
    assert any("50, worse than 10, the median of" in reason for reason in reasons)

    rows = {row.name: row for row in ablation_table(sweep, records).rows}
    for record in pruned:
        row = rows[record.cell]
        assert (row.n, row.mean, row.pareto) == (0, None, ())
        assert sentences.no_number(row).startswith("pruned at epoch ")
    assert "pruned at epoch" in terminal_table(ablation_table(sweep, records))
    assert f"{len(pruned)} pruned" in sentences.progress(ablation_table(sweep, records))
    status = study_status(sweep, study, records, 0.0)
    assert (status.counts["pruned"], status.counts["waiting"], status.troubled) == (len(pruned), 0, [])
    assert f"runs complete, {len(pruned)} pruned; no runner is at work" in status_text(status)

    again = Training(bad_if_wide)
    assert start(study, again)
    assert again.submitted == 0


def test_the_plan_lists_what_the_search_has_found_so_far(study, capsys, monkeypatch):
    limited = f"{PRUNING}, constraints: {{params: {{max: 2000}}}}"
    monkeypatch.setattr(plan, "cost_of", lambda network: (1000 + 600 * (network.model.reduction == 2), 9))
    monkeypatch.setenv("SKLAB_CACHE", str(study.path.parent / "cache"))
    sweep = sweep_of(study, limited.replace("2000", "1500"))
    costs = space_costs(sweep, CostCounter(plan.costs_here).of)
    start(study, Training(bad_if_wide), limited.replace("2000", "1500"), costs=costs)
    found, records = study.read_sweep(), study.records()
    command = ["plan", str(study.path.parent.parent / "sweep.yaml"), "--results", str(study.path.parent)]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert all(f"\n{cell.name}  " in shown for cell in found.cells)
    assert "to be asked for" not in shown, "there is none left that keeps the constraints"
    assert f"proposals that do not keep the constraints, never trained: {len(found.invalid)}\n" in shown
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [cell["name"] for cell in told["cells"]] == [cell.name for cell in found.cells]
    assert (
        sum(cell["counts"]["pruned"] for cell in told["cells"])
        == sum(one.status == "pruned" for one in records.values())
        > 0
    )
    assert all(cell["params"] == 1000 and cell["price"] for cell in told["cells"] if cell["counts"]["complete"])
    assert (told["asked"], told["refused"], told["space"]["feasible"]) == (0, len(found.invalid), 4)
    assert told["missing"] == 0, "no further seed of a pruned cell is trained"
    sweep_of(study, PRUNING + ", seed: 0")
    assert main(command) == 0
    assert (
        f"and 1 more cell to be asked for by the search, {len(found.cells) - 1} found so far" in capsys.readouterr().out
    )


def test_the_baseline_is_never_pruned(study):
    start(study, Training(lambda cell: 90.0 if cell == "r=4, w=8" else 10.0))
    baseline = study.read_sweep().cells[0]
    assert [study.records()[key].status for key in baseline.runs.values()] == ["complete"] * 2


def test_a_baseline_that_is_trained_beside_others_is_not_pruned_either(study):
    start(study, Training(lambda cell: 90.0 if cell == "r=4, w=8" else 10.0))
    sweep, records = study.read_sweep(), study.records()
    run = study.run(sweep.cells[0].runs[sweep.seeds[0]])
    order, pruner = run.read_order(), Pruner(sweep, study, {}, records)
    run.record_file.unlink()
    run.metrics_file.write_text("epoch,val_loss,val_error\n" + "".join(f"{at},1.0,90.0\n" for at in (1, 2, 3, 4)))
    worse = order.model_copy(update={"cell": "another"})
    assert [each.cell for each, _, _ in pruner.look([(worse, run)])] == ["another"], "it is as bad as that"
    assert list(pruner.look([(order, run)])) == []


def test_with_two_objectives_a_cheap_run_goes_on(study):
    pruning = f"{PRUNING}, objectives: [val_error, macs]"
    sweep = sweep_of(study, pruning)
    names = [f"r={r}, w={w}" for r in (2, 4, 8) for w in (4, 8)]
    costs = {name: Cost(params=1, macs=1 if "w=4" in name else 2) for name in names}
    start(study, Training(bad_if_wide), pruning, costs=costs)
    cheap = [record for record in study.records().values() if "w=4" in record.cell]
    assert [record.status for record in cheap] == ["complete"] * len(cheap)
    dear = {name: Cost(params=1, macs=3 if "w=4" in name else 2) for name in names}
    for key in study.records():
        study.run(key).begin_attempt()
    start(study, Training(bad_if_wide), pruning, costs=dear)
    told = {record.status for record in study.records().values() if "w=4" in record.cell}
    assert told == {"pruned"}
    assert sweep.search.second_objective == "macs"


def test_without_pruning_what_was_pruned_is_trained_after_all(study):
    start(study, Training(bad_if_wide))
    pruned = [key for key, record in study.records().items() if record.status == "pruned"]
    launcher = Training(bad_if_wide)
    assert start(study, launcher, "")
    assert {record.status for record in study.records().values()} == {"complete"}
    assert launcher.submitted >= len(pruned) > 0
    assert len(list(study.path.glob("runs/*/attempts/001/record.json"))) == len(pruned), "their records are kept"


def test_a_pruned_run_is_not_offered_to_other_studies(study):
    start(study, Training(bad_if_wide))
    sweep = study.read_sweep()
    offered = offers(sweep, StudyFolder(study.path.parent / "other"), {})
    records = study.records()
    assert set(offered) == {key for key, record in records.items() if record.status == "complete"}


def test_a_run_that_does_not_train_yet_or_has_ended_is_not_asked(study, toy_order):
    start(study, Training(bad_if_wide))
    sweep, records = study.read_sweep(), study.records()
    key = next(key for key, record in records.items() if record.status == "pruned")
    pruner, run = Pruner(sweep, study, {}, records), study.run(key)
    order = run.read_order()
    assert list(pruner.look([(order, run)])) == [], "it has ended"
    run.record_file.unlink()
    run.prune_file.unlink(missing_ok=True)
    assert [why for _, _, why in pruner.look([(order, run)])] == ["another seed of its cell was pruned"]
    epochs = order.spec.experiment.train.epochs
    metrics = run.metrics_file.read_text()
    run.metrics_file.write_text("epoch,val_error\n" + "".join(f"{at},90.0\n" for at in range(1, epochs + 1)))
    assert list(pruner.look([(order, run)])) == [], "it has nothing left to do"
    run.metrics_file.write_text(metrics)
    run.ask_to_prune("so")
    assert list(pruner.look([(order, run)])) == [], "it was asked before"
    run.begin_attempt()
    assert not run.prune_file.exists(), "the next attempt does not hear of it"
    assert list(pruner.look([(order, run)])) == [], "it has not begun"


@pytest.mark.slow
def test_two_objectives_with_a_constraint_and_pruning_from_the_file_to_the_report(toy_files, capsys, monkeypatch):
    monkeypatch.setattr(runner, "_LOOK_EVERY", 0.05)  # its runs take a second or two
    data = "{name: scaled_digits, train_size: 128, val_size: 128}"
    text = (toy_files / "toy.yaml").read_text().replace("epochs: 2", "epochs: 30")
    (toy_files / "toy.yaml").write_text(text.replace("{name: scaled_digits, train_size: 64, val_size: 32}", data))
    search = """{sampler: nsga2, trials: 4, constraints: {params: {max: 5k}}, objectives: [val_error, macs],
         pruning: {rule: median, start: 3, peers: 1}}"""
    (toy_files / "search.yaml").write_text(
        f"""\
experiment: toy.yaml
design: search
seeds: 1
baseline: {{lr: 0.05, w: 8}}
search: {search}
factors:
  lr: {{path: train.lr, levels: [0.05, 0.04, 0.00001, 0.00002]}}
  w: {{path: model.width, levels: [8, 16]}}
"""
    )
    results = ["--results", str(toy_files / "results")]
    sweep = [str(toy_files / "search.yaml"), *results]
    assert main(["plan", *sweep]) == 0
    assert "8 combinations of levels, 8 can exist, 4 keep the constraints" in capsys.readouterr().out
    assert main(["sweep", *sweep, "--slots", "2", "--no-wandb"]) == 0
    told = capsys.readouterr()
    assert "Two objectives, so no single best cell." in told.out
    assert "4 found" not in told.err
    records = StudyFolder(toy_files / "results" / "search").records().values()
    assert {record.params for record in records} == {4050}
    slow = [record for record in records if "0.0000" in record.cell]
    pruned = [record for record in slow if record.status == "pruned"]
    assert len(slow) == 2
    assert pruned
    assert all(3 <= record.epochs < 30 and record.last for record in pruned)
    assert "the search space holds no more cells" in told.err
    assert main(["sweep", *sweep, "--slots", "2", "--no-wandb"]) == 0
