"""`--budget`, `--probe` and the commands for watching, as a user types them."""

from __future__ import annotations

import json
import sys

import pytest

from sklab.cli import main
from sklab.commands import plan, run
from sklab.spec.jobs import Probe
from sklab.store.study_folder import StudyFolder
from sklab.sweep.plan import plan as prices_left
from sklab.sweep.plan.prepared import Prepared
from sklab.sweep.plan.prices import Bill


@pytest.fixture
def here(toy_files, monkeypatch):
    monkeypatch.chdir(toy_files)
    return toy_files


@pytest.fixture
def dear(monkeypatch):
    """Every run takes an hour; four of them are to be trained."""
    hour = Probe(epochs=1, setup_seconds=3600.0, peak_memory_mb=100.0)
    monkeypatch.setattr(plan, "probed", lambda study, *_: {cell.name: hour for cell in study.sweep.cells})


@pytest.mark.usefixtures("dear")
def test_what_is_too_dear_is_refused_and_nothing_is_started(here, capsys):
    assert main(["sweep", "sweep.yaml", "--no-wandb", "--budget", "210m"]) == 2
    told = capsys.readouterr().err
    assert "what is left takes about 4.00 " in told
    assert "more than the budget of 210m" in told
    assert "nothing was started" in told
    assert not (here / "results" / "sweep" / "runs").exists()


@pytest.mark.usefixtures("dear")
@pytest.mark.parametrize(("answer", "started"), [("y\n", True), ("\n", False), ("", False)])
def test_at_a_terminal_the_user_decides(here, monkeypatch, answer, started):
    asked = []
    monkeypatch.setattr(run, "run_here", lambda *_: asked.append(1) or 0)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdin, "readline", lambda: answer, raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main(["sweep", "sweep.yaml", "--budget", "1h"]) == (0 if started else 2)
    assert bool(asked) == started


@pytest.mark.usefixtures("dear")
def test_what_is_within_the_budget_starts(here, monkeypatch):
    monkeypatch.setattr(run, "run_here", lambda *_: 0)
    assert main(["sweep", "sweep.yaml", "--budget", "4h"]) == 0


@pytest.mark.parametrize("command", ["sweep", "plan"])
def test_what_is_no_budget_is_told_before_anything_is_planned(here, capsys, command):
    assert main([command, "sweep.yaml", "--budget", "soon"]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.partition(";")[0]) == ("", "sklab: --budget: found 'soon'")
    assert not (here / "results").exists()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("option", "reuse"), [("--no-reuse", "never"), ("--strict", "same code")])
def test_the_budget_is_that_of_what_would_really_be_reused(monkeypatch, option, reuse):
    def priced(study: Prepared, *_: object) -> Bill:
        seen.append(study.start.reuse)
        return Bill(device_hours=0.0, seconds=0.0)

    seen: list[object] = []
    monkeypatch.setattr(prices_left, "price_left", priced)
    monkeypatch.setattr(run, "run_here", lambda *_: 0)
    assert main(["sweep", "sweep.yaml", "--budget", "1h", option]) == 0
    assert seen == [reuse]


@pytest.mark.usefixtures("dear")
def test_a_plan_says_how_it_stands_to_the_budget(here, capsys):
    assert main(["plan", "sweep.yaml", "--probe", "--budget", "1d"]) == 0
    assert main(["plan", "sweep.yaml", "--probe", "--budget", "1h", "--json"]) == 2
    shown = capsys.readouterr()
    assert "within the budget of 1d" in shown.err
    assert '"source": "probe"' in shown.out


def test_a_plan_without_any_price_keeps_to_no_budget(here, capsys):
    assert main(["plan", "sweep.yaml", "--budget", "1h", "--differences"]) == 2
    shown = capsys.readouterr()
    assert "has no price" in shown.err
    assert 'K3+K5 SK: model.attention: "none" -> "sk"' in shown.out


def test_a_probe_prices_a_plan_and_finished_runs_take_its_place(here, capsys):
    assert main(["plan", "sweep.yaml", "--probe", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert [cell["fault"] for cell in plan["cells"]] == ["", ""]
    assert [cell["price"]["source"] for cell in plan["cells"]] == ["probe", "probe"]
    assert 0 < plan["seconds"] < 600
    assert main(["sweep", "sweep.yaml", "--no-wandb", "--seeds", "1", "--budget", "10h"]) == 0
    capsys.readouterr()
    assert main(["plan", "sweep.yaml", "--seeds", "3", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert [cell["price"]["source"] for cell in plan["cells"]] == ["runs", "runs"]
    assert plan["change"]["seeds_added"] == [1, 2]
    assert plan["confounds"] == []

    (key, *_) = StudyFolder(here / "results" / "sweep").records()
    assert main(["logs", key]) == 0
    assert main(["logs", f"sweep/{key}", "--follow"]) == 0
    assert main(["status", "sweep", "--watch"]) == 0
    assert "2 of 2 runs complete" in capsys.readouterr().out
    assert main(["logs", "nothing"]) == 2
