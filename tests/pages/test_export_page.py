"""docs/export.md against the program: commands parse, every entry is told, and its code works on exported files."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

from sklab.cli import main, parser
from sklab.models.weights.description import Description
from sklab.store.run_folder import RunFolder
from sklab.training.run import train

PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line)[1:] for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()
]
READERS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_is_one(command):
    assert parser().parse_args(command).command.__name__ == f"_{command[0]}"


def test_every_entry_is_told():
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == list(Description.model_fields)


def test_its_code_reads_what_is_exported(toy_order, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    order = toy_order()
    folder = RunFolder(Path("results/toy/runs") / order.key)
    folder.write_order(order)
    train(order, folder, torch.device("cpu"))
    logits = []
    for kind, reader in zip(("safetensors", "onnx"), READERS, strict=True):
        assert main(["export", order.key, "--to", kind]) == 0
        names: dict = {}
        exec(compile(reader, "export.md", "exec"), names)
        if kind == "safetensors":
            with torch.no_grad():
                logits.append(names["network"](torch.zeros(4, 1, 32, 32)).numpy())
        else:
            assert names["told"]["run"] == order.key
            logits.append(names["logits"])
    assert logits[0] == pytest.approx(logits[1], abs=1e-5)
