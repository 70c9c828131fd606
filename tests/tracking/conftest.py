from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback_wandb import KEY, LoopbackServer
from services import service_processes

from sklab.spec.run import RunSpec
from sklab.store.records import Code, RunOrder, Tracking

# The hand-made studies of the reading plane's tests.
sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("analysis", "report")]

EXPERIMENT: dict[str, Any] = {
    "data": {"name": "scaled_digits"},
    "model": {
        "depths": [1], "width": 16, "cardinality": 8, "branches": [{"kernel": 3}, {"kernel": 5}], "in_channels": 1,
        "num_classes": 10,
    },
    "train": {"epochs": 2, "batch_size": 8, "lr": 0.1},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No W&B settings, keys or proxies of whoever runs the tests; no service process left behind."""
    for name in list(os.environ):
        if name.startswith("WANDB_") or name.lower().endswith("_proxy") or name == "NETRC":
            monkeypatch.delenv(name)
    # So that they are taken back at the end, whatever is set meanwhile.
    for name in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_ERROR_REPORTING"):
        monkeypatch.setenv(name, "unused")
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    yield
    assert not service_processes()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackServer]:
    """A W&B server on the loopback interface, configured with its key in the environment."""
    with LoopbackServer() as running:
        monkeypatch.setenv("WANDB_BASE_URL", running.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield running


@pytest.fixture
def order() -> RunOrder:
    spec = RunSpec.model_validate({"experiment": EXPERIMENT, "seed": 3})
    return RunOrder(
        key=spec.key, study="kernels", cell="K3-5", factors={"kernels": "3-5"}, spec=spec,
        code=Code(version="0"), tracking=Tracking(mode="offline"),
    )  # fmt: skip
