"""A compiled network is compiled once: for every run of it, and for every size of the last batch."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
import torch._inductor.config as inductor
from torch import Tensor, nn
from torch._dynamo.utils import counters

from sklab.models.compiled import compiled, filled
from sklab.models.zoo import build
from sklab.spec.networks import network as catalogue

COMPILED = "TORCHINDUCTOR_CACHE_DIR"

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's compiler warns of its own parts


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home where nothing was compiled yet."""
    monkeypatch.delenv(COMPILED)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with inductor.patch(compile_threads=1):
        yield tmp_path


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def trained(model: nn.Module) -> None:
    """A step, in another process than the one before as far as torch's compiler knows."""
    torch._dynamo.reset()
    counters.clear()
    compiled(model)(torch.randn(4, 3, 2, 2)).sum().backward()


@pytest.mark.slow
def test_the_second_run_of_a_network_compiles_nothing(home, monkeypatch):
    trained(network(0))
    assert counters["inductor"]["fxgraph_cache_miss"] > 0
    monkeypatch.delenv(COMPILED)  # as in the process of another run
    trained(network(1))
    found = counters["inductor"]
    assert (found["fxgraph_cache_miss"], counters["aot_autograd"]["autograd_cache_miss"]) == (0, 0)
    assert found["fxgraph_cache_hit"] > 0
    assert len([*home.glob(".cache/sklab-compiled-*/fxgraph")]) == 1


def test_it_is_kept_in_a_folder_of_the_users_own_for_each_kind_of_processor(home, monkeypatch):
    monkeypatch.setenv(COMPILED, f"{tempfile.gettempdir()}/torchinductor_me")  # as torch does when some of it is loaded
    for kind in ("AVX2", "AVX512"):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda kind=kind: kind)
        compiled(network(0))
        folder = home / ".cache" / f"sklab-compiled-{kind.lower()}"
        assert os.environ[COMPILED] == str(folder)
        assert folder.stat().st_mode & 0o077 == 0
        monkeypatch.delenv(COMPILED)


def test_the_users_choice_of_a_folder_counts(home, monkeypatch):
    monkeypatch.setenv(COMPILED, str(home / "elsewhere"))
    compiled(network(0))
    assert os.environ[COMPILED] == str(home / "elsewhere")
    assert not (home / ".cache").exists()


def test_a_home_that_can_not_be_written_stops_nothing(home, monkeypatch):
    (home / ".cache").write_text("no folder")
    compiled(network(0))
    assert ".cache" not in os.environ.get(COMPILED, "")  # torch may have chosen its own


def test_it_is_compiled_by_as_many_threads_as_the_run_has(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    compiled(network(0))
    assert inductor.compile_threads == 3


@pytest.mark.parametrize(
    "name",
    [
        "",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("mobilenetv1_sk", "mobilenetv2", "shufflenetv2_x0_5")
        ),
    ],
)
def test_a_network_is_one_graph_also_where_it_is_a_sequence(monkeypatch, name):
    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    model, images = (build(catalogue(name)), (2, 3, 32, 32)) if name else (network(0), (4, 3, 2, 2))
    call = compiled(model)
    for _ in range(2):
        call(torch.randn(images))
    assert isinstance(model, nn.Sequential)
    assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_smaller_batch_is_filled_up_in_its_memory_format(layout, channels):
    whole = torch.empty(5, channels, 4, 4, memory_format=layout)
    images = torch.empty(2, channels, 4, 4, memory_format=layout).copy_(torch.rand(2, channels, 4, 4))
    batch: Tensor = filled(images, 5)
    assert (batch.shape, batch.stride()) == (whole.shape, whole.stride())
    assert torch.equal(batch[:2], images)
    assert not batch[2:].any()
    assert filled(images, 2) is images
