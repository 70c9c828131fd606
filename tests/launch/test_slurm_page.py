"""The first command for Slurm in docs/scaling.md, run as it stands there."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from sklab.cli import main

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_toy_command_for_slurm_runs(slurm, tmp_path, monkeypatch):
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    for folder in ("experiments", "sweeps"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    [text] = [text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "slurm.yaml" in text]
    (tmp_path / "slurm.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    [command] = [line for line in page.splitlines() if line.startswith("sklab") and "--toy" in line and "slurm" in line]
    assert main([*shlex.split(command)[1:], "--no-wandb"]) == 0
