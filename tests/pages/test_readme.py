"""The README's words against the program: its table is the example's, its files exist."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from sklab.report.build import build, study_table
from sklab.report.tables.terminal import terminal_table
from sklab.report.words import verdict

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_table_is_the_one_that_the_quickstart_printed():
    [table] = blocks("text")
    assert table.strip("\n") == terminal_table(study_table(ROOT / "results/example")).strip("\n")


def test_the_example_is_what_its_records_make(tmp_path):
    example = ROOT / "results/example"
    shutil.copytree(example, tmp_path / "example")
    build(tmp_path / "example")
    for file in (file for file in example.rglob("*") if file.is_file()):
        assert (tmp_path / "example" / file.relative_to(example)).read_bytes() == file.read_bytes(), file


def test_the_example_holds_records_and_nothing_of_the_machine_that_made_them():
    kept = {file.relative_to(ROOT / "results") for file in (ROOT / "results").glob("example*/**/*") if file.is_file()}
    assert {file for file in kept if {"wandb", ".lock", "study.log"} & {*file.parts} or file.suffix == ".pt"} == set()


def test_the_shipped_study_is_decided():
    """What makes the quickstart worth its minutes: every question has an answer, and the report begins with it."""
    table = study_table(ROOT / "results/example")
    assert [answer.verdict for answer in table.questions] == ["lower"] * 3 + ["equivalent"]
    assert verdict.result(table).startswith("A 3x3 branch lowers the validation error by ")


def test_every_file_that_it_names_exists():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_make_commands_are_targets():
    makefile = (ROOT / "Makefile").read_text()
    named = [line.split()[1] for line in "\n".join(blocks("sh")).splitlines() if line.startswith("make ")]
    assert named == ["quickstart", "test"]
    assert all(f"\n{name}:" in makefile for name in named)
