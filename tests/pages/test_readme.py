"""The README's words against the program: its commands run, its table is the example's, its files exist."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image

from sklab.cli import main
from sklab.report.build import build, study_table
from sklab.report.tables.terminal import terminal_table
from sklab.report.words import verdict

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUICK = {"train": {"epochs": 1, "warmup_epochs": 0}}
SMALL = {"data": {"train_size": 64, "val_size": 32}}
TINY = {"data": {"image_size": 64}, "train": {"batch_size": 4}}  # of eight photographs


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[list[str]]:
    """Every `sklab` command of the README, without its comment."""
    lines = [line.strip() for line in re.split("\n|&&", "\n".join(blocks("sh")))]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("sklab ")]


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


@pytest.mark.slow
def test_every_command_runs_as_written(tmp_path, monkeypatch, capsys):
    for folder in ("experiments", "sweeps"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for block in blocks("yaml"):
        (tmp_path / block.splitlines()[0].removeprefix("# ")).write_text(_here(block, tmp_path))
    _draw_birds(tmp_path / "birds")
    _shorten(tmp_path / "experiments")
    monkeypatch.chdir(tmp_path)
    assert len(commands()) >= 9
    for command in commands():
        assert main(_quick(command)) == 0, f"{command}: {capsys.readouterr().err}"
    assert (tmp_path / "results/mine/report.html").exists()


def _quick(command: list[str]) -> list[str]:
    """The command, which trains in seconds. That every sweep runs at toy size, tests/sweep/design/test_toy.py shows."""
    if "--toy" in command:
        return ["plan", *command[1:]]
    seeds = ["--seeds", "2"] if {"sweeps/scale.yaml", "sweeps/photos.yaml"} & {*command} else []
    return [*command, *seeds, *(["--no-wandb"] if command[0] in ("sweep", "train") else [])]


def _shorten(experiments: Path) -> None:
    """Leave less to train in those experiments that the commands name; what these say is not changed."""
    for file in experiments.iterdir():
        tree = yaml.safe_load(file.read_text())
        changes = [QUICK, SMALL if tree["data"]["name"] in ("scaled_digits", "photo_patches") else TINY]
        for section, changed in ((section, changed) for change in changes for section, changed in change.items()):
            tree[section] |= changed
        file.write_text(yaml.safe_dump(tree))


def _here(block: str, folder: Path) -> str:
    return block.replace("/data/birds", str(folder / "birds"))


def _draw_birds(root: Path) -> None:
    for split in ("train", "val"):
        for shade, name in enumerate(("kingfisher", "wren")):
            (root / split / name).mkdir(parents=True)
            for number in range(4):
                Image.new("RGB", (80, 60), (90 * shade, 20 * number, 50)).save(root / split / name / f"{number}.jpg")
