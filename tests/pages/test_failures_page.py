"""docs/failures.md against the program: its classes and numbers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from sklab.launch import health, watchdog
from sklab.store.records import FailureClass
from sklab.store.states import STATES
from sklab.sweep.run.failures import ATTEMPTS, MAX_IDENTICAL
from sklab.system import processes

PAGE = (Path(__file__).parents[2] / "docs" / "failures.md").read_text(encoding="utf-8")


def test_every_class_of_failure_is_told() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(get_args(FailureClass))


def test_every_state_of_a_run_is_told() -> None:
    assert tuple(re.findall(r"^\| ([a-z]+) \|", PAGE, re.MULTILINE)) == ("state", *STATES, "class")


def test_its_numbers_are_the_programs() -> None:
    assert f"up to {ATTEMPTS} attempts" in PAGE
    assert f"Once {MAX_IDENTICAL} runs" in PAGE
    assert f"{watchdog.STALE_AFTER / 60:g} minutes" in PAGE
    assert f"{watchdog._STEPS} times its own longest" in PAGE
    assert f"{watchdog._OUTSIDE} times as long" in PAGE
    assert f"{watchdog._DISK} times the other one" in PAGE
    assert f"After {processes.PATIENCE:g} s it is left alone" in PAGE
    assert f"Once {health._RUNS} different runs" in PAGE
