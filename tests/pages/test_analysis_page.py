"""docs/analysis.md against the program: every field of the records is told, commands parse, names exist."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest

from sklab.analysis.attention.trends import MARGIN
from sklab.cli import parser
from sklab.spec.analysis import FIELD_IMAGES, THRESHOLD, Analysis, AttentionSummary
from sklab.training.attention.summary import BINS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "analysis.md").read_text(encoding="utf-8")
TABLES = [re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE) for part in PAGE.split("| field |")[1:]]
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]


def test_every_field_of_both_records_is_told() -> None:
    assert [list(AttentionSummary.model_fields), list(Analysis.model_fields)] == TABLES


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_is_one(command: list[str]) -> None:
    options = parser().parse_args(command)
    assert options.command.__name__ == f"_{command[0]}"
    if command[0] == "sweep":
        assert (ROOT / command[1]).is_file()


def test_its_numbers_are_the_programs() -> None:
    assert (MARGIN, FIELD_IMAGES, BINS) == (0.01, 64, 5)
    assert f"{100 * THRESHOLD:.2f} %" in PAGE


def test_the_functions_that_it_names_exist() -> None:
    tail = PAGE.split("## For your own figures")[1]
    modules = [importlib.import_module(name) for name in re.findall(r"`(sklab\.[\w.]+)`", tail)]
    assert len(modules) == 2
    for name in ("levels", "by_class", "pooled", "trends", "read_analyses", "runs_by_cell", "field_sizes"):
        assert f"`{name}" in tail or f"({name}" in tail
        assert any(hasattr(module, name) for module in modules)
