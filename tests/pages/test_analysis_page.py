"""docs/analysis.md against the program: commands parse, numbers are the program's, names exist."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest

from sklab.analysis.attention.trends import MARGIN
from sklab.cli import parser
from sklab.spec.analysis import FIELD_IMAGES, THRESHOLD

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "analysis.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_is_one(command: list[str]) -> None:
    options = parser().parse_args(command)
    assert options.command.__name__ == f"_{command[0]}"
    if command[0] == "sweep":
        assert (ROOT / command[1]).is_file()


def test_its_numbers_are_the_programs() -> None:
    assert (MARGIN, FIELD_IMAGES) == (0.01, 64)
    assert f"{100 * THRESHOLD:.2f} %" in PAGE


def test_the_functions_that_it_names_exist() -> None:
    tail = PAGE.split("## For your own figures")[1]
    modules = [importlib.import_module(name) for name in re.findall(r"`(sklab\.[\w.]+)`", tail)]
    assert len(modules) == 2
    for name in ("levels", "by_class", "pooled", "trends", "read_analyses", "runs_by_cell", "field_sizes"):
        assert f"`{name}" in tail or f"({name}" in tail
        assert any(hasattr(module, name) for module in modules)
