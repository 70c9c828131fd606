"""Every command line of every page is one that the program takes, and the sweeps that it names are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from sklab.cli import parser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = [
    (page.name, shlex.split(line, comments=True)[1:])
    for page in PAGES
    for block in re.findall(r"```(?:sh)?\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    for line in block.splitlines()
    if line.startswith("sklab ")
]
YOURS = "sweeps/mine.yaml"  # the user's, in an example


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[" ".join((page, *line)) for page, line in COMMANDS])
def test_every_command_is_one(page: str, command: list[str]) -> None:
    assert hasattr(parser().parse_args(command), "command")
    shipped = [word for word in command if word.startswith(("sweeps/", "experiments/"))]
    assert [name for name in shipped if name != YOURS and not (ROOT / name).is_file()] == []
