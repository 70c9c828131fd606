"""What failures cost: the runner's loop and its policy on simulated machines and a fake clock."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st


def _load() -> ModuleType:
    file = Path(__file__).parents[3] / "benchmarks" / "policies.py"
    spec = importlib.util.spec_from_file_location("policies", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["policies"] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


policies = _load()
SCRIPTS, SKLAB = policies.POLICIES[0], policies.SKLAB


def test_with_a_node_lost_every_4_hours_runs_of_an_hour_waste_less_than_3_percent():
    outcome = policies.simulate(SKLAB, runs=150, nodes=8, mtbf=4.0, preempted=8.0)
    assert outcome.spent.useful == 150 * policies.RUN
    assert outcome.lost == 0
    assert 0.003 < outcome.spent.wasted < 0.03


def test_a_run_is_never_given_up_while_it_gets_further():
    outcome = policies.simulate(SKLAB, runs=20, nodes=4, mtbf=0.25, preempted=0.5)
    assert outcome.lost == 0
    assert outcome.spent.most_attempts > 3


def test_a_loop_over_scripts_loses_runs_and_their_work():
    outcome = policies.simulate(SCRIPTS, runs=60, nodes=8, mtbf=4.0, preempted=8.0)
    assert outcome.lost > 5
    assert outcome.spent.wasted > 0.1


seconds = st.floats(0.01, 20_000.0)


@given(left=st.floats(1.0, 3600.0), every=seconds | st.just(math.inf), dies=seconds, asked=seconds)
def test_an_attempt_keeps_no_more_than_it_trains_and_spends_all_its_time(left, every, dies, asked):
    made = policies.attempt(left, every, dies, asked)
    assert 0 <= made.kept <= made.trained <= left * (1 + 1e-9)
    spent = made.trained + made.written * policies.WRITE
    assert spent <= made.seconds <= spent + policies.START + policies.WRITE + 1e-6
    assert made.seconds <= min(dies, asked) + policies.WRITE
    assert made.how != "complete" or made.kept == left


def test_the_policies_that_are_compared_differ():
    assert len({(each.every, each.tries, each.retries) for each in policies.POLICIES}) == len(policies.POLICIES)


CUT = [(10.0, 0, 0), (89.0, 0, 59), (90.7, 60, 60.1), (180.0, 120, 148.8)]


@pytest.mark.parametrize(("dies", "kept", "trained"), CUT)
def test_what_lies_between_two_checkpoints_is_lost(dies, kept, trained):
    made = policies.attempt(3600.0, 60.0, dies, math.inf)
    assert (made.kept, made.how) == (kept, "died")
    assert made.trained == pytest.approx(trained)
