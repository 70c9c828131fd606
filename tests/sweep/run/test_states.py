"""One study with a run in every state: each command counts and names them alike."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from launchers import FakeLauncher, Seen, start

from sklab import cli
from sklab.commands.screen.progress import PlainProgress, heading
from sklab.spec.study.sweep import Sweep
from sklab.store.records import RunOrder, RunRecord, RunState
from sklab.store.states import STATES
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import run_spec
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan.plan import make_plan
from sklab.sweep.plan.prepared import Start, prepare
from sklab.sweep.plan.prices import Resources
from sklab.sweep.run import runner
from sklab.sweep.run.orders import State

RECORDS = {
    "complete": {"status": "complete", "last": {"val_error": 9.0, "val_loss": 1.0}},
    "diverged": {"status": "diverged", "failure": "diverged", "reason": "the loss is nan"},
    "pruned": {"status": "pruned", "reason": "worse than the median"},
    "failed": {"status": "failed", "failure": "oom", "reason": "out of memory"},
    "stopped": {"status": "failed", "failure": "preempted", "reason": "SIGTERM after step 3"},
}
CELLS = (*RECORDS, "killed with its runner", "running", "waiting")
EXPECTED = {**dict.fromkeys(STATES, 1), "stopped": 2, "unreadable": 0}  # tests/test_untrusted.py has one
TOLD = "1 of 8 runs complete, 1 diverged, 1 pruned, 1 failed, 2 stopped, 1 running, 1 waiting"
BEGAN = 1_000_000.0  # the runner


def text_of(cells: tuple[str, ...]) -> str:
    listed = [f"  - {{name: {name}, set: {{train.lr: {0.01 + 0.01 * CELLS.index(name):g}}}}}\n" for name in cells]
    head = "experiment: toy.yaml\ndesign: list\nseeds: 1\nbaseline: complete\ncells:\n"
    return head + "".join(listed)


@pytest.fixture
def sweep(toy_files: Path) -> Sweep:
    (toy_files / "sweep.yaml").write_text(text_of(CELLS))
    return load_sweep(toy_files / "sweep.yaml")


@pytest.fixture
def study(toy_files: Path, sweep: Sweep, toy_order, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    """All of it, but no runner at work."""
    monkeypatch.chdir(toy_files)
    folder = StudyFolder(toy_files / "results" / "sweep")
    folder.write_sweep(sweep)
    for cell in sweep.cells[:-1]:
        spec, run = run_spec(sweep, cell, 0), folder.run(cell.runs[0])
        order = RunOrder(key=spec.key, study="sweep", cell=cell.name, spec=spec, code=toy_order().code)
        run.write_order(order)
        run.log_file.touch()
        os.utime(run.order_file, (BEGAN + 5, BEGAN + 5 if cell.name == "running" else BEGAN - 5))
        if cell.name in RECORDS:
            run.write_record(RunRecord.of(order, **RECORDS[cell.name]))
    return folder


@pytest.fixture
def live(study: StudyFolder) -> Iterator[StudyFolder]:
    """The same while a runner works on it."""
    with study.lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.utime(study.lock_file, (BEGAN, BEGAN))
        yield study


def test_every_command_counts_alike(live, sweep, capsys):
    assert cli.main(["status", "sweep"]) == 0
    assert f"sweep: {TOLD}; a runner is at work" in capsys.readouterr().out
    assert cli.main(["status", "sweep", "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["counts"] == EXPECTED
    assert {run["cell"]: run["state"] for run in status["runs"]} == {
        name: "stopped" if name.startswith("killed") else name for name in CELLS
    }
    plan = make_plan(prepare(Start(sweep, live)), Resources(1), lambda _: (1, 1))
    assert {state: sum(cell.counts[state] for cell in plan.cells) for state in STATES} == EXPECTED
    assert cli.main(["table", "sweep"]) == 0
    assert TOLD in capsys.readouterr().out
    assert cli.main(["report", "sweep"]) == 0
    for name in ("table.md", "table.tex", "report.md", "report.html", "report.tex"):
        assert TOLD in (live.path / name).read_text(encoding="utf-8"), name
    PlainProgress().note("", State(EXPECTED, 1, (), None))
    assert TOLD.replace(" of 8 runs", "/8") in capsys.readouterr().err


def test_every_command_names_each_state_alike(live, capsys):
    cli.main(["status", "sweep"])
    shown = capsys.readouterr().out
    assert "failed, seed 0: failed (oom): out of memory; sklab logs " in shown
    assert "diverged, seed 0: diverged: the loss is nan; sklab logs " in shown
    assert "stopped, seed 0: stopped: SIGTERM after step 3; sklab logs " in shown
    cli.main(["report", "sweep"])
    capsys.readouterr()
    report = (live.path / "report.md").read_text(encoding="utf-8")
    table = (live.path / "table.csv").read_text(encoding="utf-8")
    for state, reason in (
        ("failed", "oom: out of memory"),
        ("diverged", "the loss is nan"),
        ("stopped", "SIGTERM after step 3"),
        ("stopped", "it ended with its runner"),
        ("running", "no record yet"),
        ("waiting", "no record yet"),
    ):
        assert f"seed 0 {state}: {reason}" in table
    assert "- stopped: seed 0 stopped (SIGTERM after step 3)" in report
    failures = report.partition("## Failed and diverged runs")[2].partition("##")[0]
    assert "| failed | 0 | failed |" in failures
    assert "stopped" not in failures


def test_without_its_runner_a_run_that_ran_is_stopped_and_the_remedy_is_told(study, capsys):
    cli.main(["status", "sweep"])
    shown = capsys.readouterr().out
    assert "killed with its runner, seed 0: stopped: it ended with its runner; sklab logs " in shown
    assert "3 stopped, 1 waiting; no runner is at work: the same `sklab sweep` again goes on" in shown
    assert "running" not in shown.splitlines()[0]


def test_a_retry_sets_aside_what_failed_and_leaves_what_was_stopped_or_is_a_result(study, capsys):
    assert cli.main(["retry", "sweep"]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[:2] == [
        "failed, seed 0: failed (oom): out of memory",
        "1 run set aside, to be trained anew",
    ]
    assert "1 of 8 runs complete, 1 diverged, 1 pruned, 3 stopped, 2 waiting" in shown
    assert cli.main(["retry", "sweep"]) == 0
    shown = capsys.readouterr().out
    assert "no such run has failed, nothing was changed" in shown
    assert "diverged and pruned runs are results: --cell NAME" in shown


@pytest.mark.usefixtures("sound")
def test_what_earlier_attempts_left_is_counted_until_it_is_started_again(study):
    [pruned] = [cell for cell in study.read_sweep().cells if cell.name == "pruned"]
    shutil.rmtree(study.run(pruned.runs[0]).path)  # what has finished may not leave the table
    (study.path.parent.parent / "sweep.yaml").write_text(text_of(tuple(name for name in CELLS if name != "pruned")))
    seen = Seen()
    assert not start(study, FakeLauncher(capacity=1), seen=seen), "a diverged run is not complete"
    assert all(state.total == 7 for state in seen.states)
    first, last = seen.states[0].counts, seen.states[-1].counts
    expected: dict[RunState, int] = {"complete": 2, "diverged": 1, "stopped": 3, "waiting": 1}
    assert {state: count for state, count in first.items() if count} == expected
    assert {state: count for state, count in last.items() if count} == {"complete": 6, "diverged": 1}


def test_one_of_a_thing_is_told_as_one(toy_files, capsys):
    (toy_files / "sweep.yaml").write_text(text_of(("complete",)))
    sweep = load_sweep(toy_files / "sweep.yaml")
    assert heading(sweep) == "sweep: 1 cell x 1 seed on toy"
    folder = StudyFolder(toy_files / "results" / "sweep")
    folder.write_sweep(sweep)
    cli.main(["table", str(folder.path)])
    cli.main(["status", str(folder.path)])
    shown = capsys.readouterr().out
    assert "0 of 1 run complete, 1 waiting" in shown
    assert "sweep: 0 of 1 run complete, 1 waiting; no runner is at work" in shown
    assert "1 run writes a checkpoint and ends" in runner._draining(1)
    assert "2 runs write a checkpoint and end" in runner._draining(2)
