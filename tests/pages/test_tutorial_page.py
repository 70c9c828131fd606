"""docs/tutorial.md: its commands run, in its order, and what it shows is what sklab prints."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sklab.cli import main
from sklab.sweep.files.load import load_sweep

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
(SWEEP,) = [text for language, text in BLOCKS if language == "yaml"]
EXAMPLE, PLAN, _ = [text.splitlines() for language, text in BLOCKS if language == "text"]
SET_UP = "make quickstart\nsource .venv/bin/activate\n"  # what whoever runs this test has done
SMALL = {"data": {"train_size": 64, "val_size": 32, "test": 32}, "train": {"epochs": 1, "warmup_epochs": 0}}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder as of a clone, with the sweep of the page."""
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments")
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "mine.yaml").write_text(SWEEP, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_rows_shown_are_those_of_the_example(capsys):
    assert main(["table", "example", "--results", str(ROOT / "results")]) == 0
    rows = {line.split("  ")[0]: line for line in capsys.readouterr().out.splitlines()}
    for line in EXAMPLE:
        printed = iter(rows[line.split("  ")[0]].split())
        assert all(word in printed for word in line.split()), line  # in this order


@pytest.mark.slow
def test_the_sweep_is_the_plan_that_is_shown(project, capsys):
    assert len(load_sweep(Path("sweeps/mine.yaml")).cells) == 4
    assert main(["plan", "sweeps/mine.yaml"]) == 0
    printed = capsys.readouterr().out
    assert [line for line in PLAN if line not in printed.splitlines()] == []


@pytest.mark.slow
def test_every_block_runs_in_the_order_of_the_page(project):
    """On a few images and for one epoch."""
    experiment = yaml.safe_load(Path("experiments/quickstart.yaml").read_text())
    small = {part: {**settings, **SMALL.get(part, {})} for part, settings in experiment.items()}
    Path("experiments/quickstart.yaml").write_text(yaml.safe_dump(small))
    shutil.copytree(ROOT / "results" / "example", "results/example")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "WANDB_MODE": "disabled"}
    commands = {"sh": ["bash", "-ec"], "python": [sys.executable, "-c"]}
    for language, text in BLOCKS:
        if language in commands and text != SET_UP:
            command = [*commands[language], text]
            answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
            assert answer.returncode == 0, f"{text}\n{answer.stdout}\n{answer.stderr}"
    assert Path("results/mine/runs.csv").read_text(encoding="utf-8").count(",complete,") == 20
    assert r"\begin{table}" in Path("table.tex").read_text(encoding="utf-8")
