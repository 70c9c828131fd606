"""docs/notebook.md: its blocks run one after the other, as the cells of a notebook, on a toy study."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import sklab

PAGE = (Path(__file__).parents[2] / "docs" / "notebook.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
WORDS = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL).split()


@pytest.fixture
def here(toy_files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `sweeps/kernels.yaml`, of two cells x two seeds, and its study; it is the current one."""
    (toy_files / "sweeps").mkdir()
    sweep = (toy_files / "sweep.yaml").read_text().replace("toy.yaml", "../toy.yaml")
    (toy_files / "sweeps" / "kernels.yaml").write_text(sweep)
    monkeypatch.chdir(toy_files)
    return toy_files


def test_its_blocks_run_in_their_order(here, capsys):
    sklab.run("sweeps/kernels.yaml", slots=2)
    capsys.readouterr()
    network = nn.Sequential()
    network.add_module("block", nn.Sequential())
    network.block.add_module("conv2", nn.Conv2d(64, 64, 3, padding=1, groups=2))
    names: dict[str, Any] = {"my_network": network}
    for block in BLOCKS:
        exec(compile(block, "notebook.md", "exec"), names)
    assert names["errors"].shape == (2, 2)
    assert names["curves"].index.get_level_values("epoch").unique().tolist() == [1, 2]
    assert names["hard"].sum() <= 32
    assert names["logits"].shape == (1, 10)
    assert isinstance(names["converted"].block.conv2, sklab.SKConv2d)
    study = names["study"]
    assert study.runs["status"].tolist() == ["complete"] * 6
    told = capsys.readouterr()
    assert told.err == ""
    assert "[6/6 complete" in told.out


def test_it_is_short():
    assert len(WORDS) <= 350
