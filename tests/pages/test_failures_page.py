"""docs/failures.md against the program: its classes, commands and numbers."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import get_args

import pytest

from sklab.cli import parser
from sklab.launch import health, watchdog
from sklab.store.records import FailureClass
from sklab.store.states import STATES
from sklab.sweep.run.failures import ATTEMPTS, MAX_IDENTICAL
from sklab.system import processes

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "failures.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line)[1:] for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()
]


def test_every_class_of_failure_is_told() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(get_args(FailureClass))


def test_every_state_of_a_run_is_told() -> None:
    assert tuple(re.findall(r"^\| ([a-z]+) \|", PAGE, re.MULTILINE)) == ("state", *STATES, "class")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_is_one(command: list[str]) -> None:
    options = parser().parse_args(command)
    assert options.command.__name__ == f"_{command[0]}"
    if command[0] == "sweep":
        assert (ROOT / command[1]).is_file()


def test_its_numbers_are_the_programs() -> None:
    assert f"up to {ATTEMPTS} attempts" in PAGE
    assert f"Once {MAX_IDENTICAL} runs" in PAGE
    assert f"{watchdog.STALE_AFTER / 60:g} minutes" in PAGE
    assert f"{watchdog._STEPS} times its own longest" in PAGE
    assert f"{watchdog._OUTSIDE} times as long" in PAGE
    assert f"{watchdog._DISK} times the other one" in PAGE
    assert f"After {processes.PATIENCE:g} s it is left alone" in PAGE
    assert f"Once {health._RUNS} different runs" in PAGE
