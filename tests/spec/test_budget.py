"""The claim of equal budget: which cells it is told of, in the plan, at the start of a sweep and in the report."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklab.cli import main
from sklab.spec.study.search import Cost, EqualBudget, off_budget

CLAIM = "equal_budget: {params: 0.1, macs: 0.9}\n"
counts = st.integers(1, 10**12)


@given(counts, counts, st.floats(0, 1, exclude_max=True))
def test_a_cell_is_told_when_it_is_further_off_than_claimed(ours, baseline, allowed):
    costs = {"base": Cost(params=baseline, macs=1), "cell": Cost(params=ours, macs=99)}
    told = off_budget(EqualBudget(params=allowed), costs, "base")
    distance = abs(ours - baseline) / baseline
    if abs(distance - allowed) > 1e-9:
        assert [(off.cell, off.cost) for off in told] == ([("cell", "params")] if distance > allowed else [])


def test_what_is_just_within_the_claim_is_not_told():
    costs = {"base": Cost(params=100, macs=100), "more": Cost(params=129, macs=71)}
    assert off_budget(EqualBudget(params=0.29, macs=0.29), costs, "base") == ()


def test_each_cost_is_told_with_both_counts():
    costs = {"base": Cost(params=1000, macs=2000), "50 % more": Cost(params=1500, macs=1000)}
    assert [str(off) for off in off_budget(EqualBudget(params=0.05, macs=0.1), costs, "base")] == [
        "50 % more: 50.00 % more parameters than the baseline (1,500 against 1,000); "
        "the sweep claims equal ones within 5 %",
        "50 % more: 50.00 % fewer multiply-accumulates than the baseline (1,000 against 2,000); "
        "the sweep claims equal ones within 10 %",
    ]


def test_without_a_claim_or_a_baseline_nothing_is_told():
    costs = {"cell": Cost(params=1, macs=1)}
    assert off_budget(None, costs, "cell") == off_budget(EqualBudget(params=0.0), costs, "base") == ()


@pytest.fixture
def claiming(toy_files, monkeypatch):
    file = toy_files / "sweep.yaml"
    file.write_text(CLAIM + file.read_text())
    monkeypatch.chdir(toy_files)


@pytest.mark.usefixtures("claiming")
def test_the_plan_warns(capsys):
    assert main(["plan", "sweep.yaml"]) == 0
    assert "warning: K3+K5 SK: " in capsys.readouterr().out
    assert main(["plan", "sweep.yaml", "--json"]) == 0
    [off] = json.loads(capsys.readouterr().out)["off_budget"]
    assert (off["cell"], off["cost"], off["allowed"]) == ("K3+K5 SK", "params", 0.1)
    assert off["difference"] == pytest.approx(off["value"] / off["baseline"] - 1)


@pytest.mark.usefixtures("claiming")
def test_a_sweep_warns_at_its_start_and_in_its_report_and_still_runs(capsys):
    assert main(["sweep", "sweep.yaml", "--seeds", "1", "--set", "train.epochs=1", "--no-wandb"]) == 0
    shown = capsys.readouterr()
    told = "K3+K5 SK: "
    warning = next(line for line in shown.err.splitlines() if not line.endswith(" ..."))
    assert warning.startswith(f"warning: {told}")
    assert "more parameters than the baseline" in warning
    assert "the sweep claims equal ones within 10 %" in " ".join(shown.out.split())
