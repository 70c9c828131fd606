"""docs/planning.md against the program: its commands parse, its studies ship, its numbers are the program's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from sklab.cli import parser
from sklab.training import jobs

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "planning.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_is_one(command: list[str]) -> None:
    options = parser().parse_args(command)
    assert options.command.__name__.endswith(f"_{command[0]}")
    if command[0] in ("plan", "sweep"):
        assert (ROOT / command[1]).is_file()


def test_its_numbers_are_the_programs() -> None:
    assert f"trains {jobs._WARM + jobs._TIMED} steps" in PAGE
    assert f"({jobs._WARM} to warm up, {jobs._TIMED} timed) and\nevaluates {jobs._VAL} batches" in PAGE
