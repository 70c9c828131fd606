"""docs/export.md against the program: every entry is told, and its code works on exported files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from peers import peers

from sklab.cli import main
from sklab.models.weights.description import Description
from sklab.models.weights.files import tensor_file
from sklab.models.weights.timm_names import _RESNETS, in_timm, timm_name
from sklab.models.zoo import build
from sklab.spec.networks import network
from sklab.store.run_folder import RunFolder
from sklab.training.run import train

PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
READERS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_networks_that_timm_has_are_told():
    told = PAGE.split("| ours | timm |")[1]
    assert all(f"`{name}`" in told for name in _RESNETS)
    for row in re.findall(r"^\| (`\w+net.+) \| (.+) \|$", told, re.MULTILINE):
        ours, theirs = (re.findall(r"`(\w+)`", cell) for cell in row)
        assert [timm_name(network(name)) for name in ours] == theirs


@pytest.mark.slow
def test_timm_reads_what_is_exported(tmp_path):
    (reader,) = READERS[2:]
    spec = network("sknet50", num_classes=10)
    made = build(spec)
    file = tmp_path / "net.safetensors"
    file.write_bytes(tensor_file(in_timm(spec, made.state_dict()), {}))
    names: dict = {}
    with peers():
        exec(reader.replace("kernels-K3+K5-SK-seed0.timm.safetensors", str(file)), names)
    assert torch.equal(names["network"].fc.weight, made.head.weight)


def test_every_entry_is_told():
    assert re.findall(r"^\| `(\w+)` \|", PAGE.split("## ")[0], re.MULTILINE) == list(Description.model_fields)


def test_its_code_reads_what_is_exported(toy_order, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    order = toy_order()
    folder = RunFolder(Path("results/toy/runs") / order.key)
    folder.write_order(order)
    train(order, folder, torch.device("cpu"))
    logits = []
    for kind, reader in zip(("safetensors", "onnx"), READERS[:2], strict=True):
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
