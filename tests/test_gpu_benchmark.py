"""benchmarks/gpu.py where there is no card: each section gives its numbers or says why not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sklab.data.loaders import TrainArrays, open_loaders
from sklab.data.sets.scaled_digits import Spec
from sklab.models.zoo import create_model
from sklab.spec.train import TrainSpec

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
# The columns of numbers that each section has on the CPU, and cases that it tells in words.
COLUMNS = {
    "copy": {"GB/s"},
    "unit": {"ms", "floor, ms", "times the floor"},
    "small": {"ms a step of a run", "samples/s", "times one launched"},
    "processes": {"ms a step of a run", "samples/s", "times one launched"},
    "determinism": {"deterministic, ms", "not, ms", "ratio"},
    "latency": {"launched, ms"},
    "grouped": {"ms", "floor, ms", "times the floor", "contiguous, ms", "decimated, ms"},
    "loader": {"images/s"},
    "network": {"ms", "images/s", "ours / it"},
}
NEED_CUDA = {"determinism", "latency", "grouped", "network"}


def _environment() -> dict[str, str]:
    """As of a shell: what protects the processes that sklab starts would hide the script's own modules."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}


def run(folder: Path, *options: str, code: str = "") -> subprocess.CompletedProcess[str]:
    """The script, or `code` after which it has begun, in a process of its own: it forks."""
    start = ["-c", code] if code else [BENCHMARKS / "gpu.py"]
    command = [sys.executable, *start, "--device", "cpu", "--tiny", "--out", folder, *options]
    return subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_each_section_gives_its_numbers_or_says_why_not(tmp_path):
    answer = run(tmp_path)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    sections = json.loads((tmp_path / "gpu.json").read_text())["sections"]
    assert set(sections) == set(COLUMNS)
    for name, section in sections.items():
        rows = section["rows"]
        numbers = {column for row in rows for column, value in row.items() if isinstance(value, float)}
        assert numbers == COLUMNS[name], name
        assert all(value > 0 for row in rows for value in row.values() if isinstance(value, float)), name
        assert ("needs CUDA" in json.dumps(rows)) == (name in NEED_CUDA), name
    assert "equal, to the last bit" in json.dumps(sections["small"])
    page = (tmp_path / "gpu.md").read_text()
    assert "these numbers say nothing" in page
    assert all(section["title"] in page for section in sections.values())


FAULTY = f"""
import os, sys, time
sys.path.insert(0, {str(BENCHMARKS)!r})
import gpu

def dies(bench):
    yield {{"case": "before", "ms": 1.0}}
    os._exit(7)

def raises(bench):
    yield {{"case": "before", "ms": 1.0}}
    raise ValueError("a fault")

def hangs(bench):
    yield {{"case": "before", "ms": 1.0}}
    time.sleep(3600)

def slow(bench):
    yield {{"case": "before", "ms": 1.0}}
    yield {{"case": "after", "ms": 1.0}}

seconds = {{dies: 60, raises: 60, hangs: 0.2, slow: 0}}
gpu.GRACE = 3.0
gpu.SECTIONS = {{work.__name__: gpu.Section(work.__name__, work, limit) for work, limit in seconds.items()}}
raise SystemExit(gpu.main())
"""


def test_a_section_that_fails_keeps_its_rows_and_the_others_go_on(tmp_path):
    answer = run(tmp_path, code=FAULTY)
    assert answer.returncode == 1, answer.stderr
    sections = json.loads((tmp_path / "gpu.json").read_text())["sections"]
    before = {"case": "before", "ms": 1.0}
    over = {"note": "the time was over: what would follow is left out"}
    assert sections["dies"]["rows"] == [before, {"error": "its process ended with 7"}]
    assert sections["raises"]["rows"] == [before, {"error": "ValueError: a fault"}]
    assert sections["hangs"]["rows"] == [before, over]
    assert sections["slow"]["rows"] == [before, over]
    assert "- failed: ValueError: a fault" in (tmp_path / "gpu.md").read_text()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a card")
def test_without_a_card_nothing_is_measured(tmp_path):
    command = [sys.executable, BENCHMARKS / "gpu.py", "--out", tmp_path / "out"]
    answer = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert "no CUDA card can be used here" in answer.stderr
    assert not (tmp_path / "out").exists()


def test_the_cpu_is_only_for_trying(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu

    monkeypatch.setattr(sys, "argv", ["gpu.py", "--out", str(tmp_path), "--device", "cpu"])
    with pytest.raises(SystemExit):
        gpu.main()
    assert "needs --tiny" in capsys.readouterr().err


@pytest.fixture
def stacking(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu_stacked

    return gpu_stacked


def single_networks(count: int) -> list[nn.Module]:
    made = []
    for seed in range(count):
        torch.manual_seed(seed)
        made.append(create_model("sknet_small").double().to(memory_format=torch.channels_last))
    return made


def test_stacked_networks_compute_what_each_computes_alone(stacking):
    """Logits, gradients and running statistics, in float64: none sees another's images."""
    singles = single_networks(3)
    stacked = stacking.StackedNetworks(singles).to(memory_format=torch.channels_last)
    torch.manual_seed(9)
    images, labels = torch.randn(8, 3, 32, 32, dtype=torch.float64), torch.randint(10, (8, 3))
    logits = stacked(images)
    F.cross_entropy(logits, labels.flatten()).backward()
    wide = stacked.get_submodule("_stacked")
    for number, single in enumerate(singles):
        own = single(images[:, number : number + 1])
        F.cross_entropy(own, labels[:, number]).backward()
        torch.testing.assert_close(logits.view(8, 3, 10)[:, number], own)
        for name, weight in single.named_parameters():
            torch.testing.assert_close(part(wide, name, weight, number), weight.grad, msg=f"{name} of {number}")
        means = single.get_buffer("stem.1.running_mean")
        torch.testing.assert_close(wide.get_buffer("stem.1.running_mean").chunk(3)[number], means)


def part(wide: nn.Module, name: str, weight: nn.Parameter, number: int) -> torch.Tensor | None:
    """The gradient that network `number` has in the stacked one."""
    grad = wide.get_parameter(name).grad
    assert grad is not None
    if weight.ndim == 2:
        return grad[number].T  # of a linear layer
    return grad[number, 0] if grad.ndim == 3 else grad.chunk(3)[number]


def test_stacked_arrays_give_each_network_the_batches_of_its_seed(stacking):
    recipe = TrainSpec(epochs=1, batch_size=16, lr=0.1)
    spec = Spec(train_size=64, val_size=20)
    arrays = [open_loaders(spec, recipe, seed, torch.device("cpu")).train for seed in range(2)]
    assert all(isinstance(each, TrainArrays) for each in arrays)
    stacked, places = stacking.StackedArrays(arrays), torch.arange(16, 32)
    images, labels = stacked.batch(stacked.draws(1), places)
    for number, each in enumerate(arrays):
        own, own_labels = each.batch(each.draws(1), places)
        assert torch.equal(images[:, number : number + 1], own)
        assert torch.equal(labels.view(16, 2)[:, number], own_labels)
