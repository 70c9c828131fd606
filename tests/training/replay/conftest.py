"""Replays without a GPU: what would be recorded is called directly, all the rest is as on a card."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from torch.optim.sgd import sgd

from sklab.system.processes import STOP_SIGNALS
from sklab.training.replay import steps


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """Whoever takes attempts in turn lets the signals go; a test that does it leaves that to this."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def replaying(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs on the CPU are trained as on a GPU, but for the kernels: the CPU's fused SGD rounds differently from the one
    of Lightning's loop."""
    monkeypatch.setattr(steps, "REPLAYED", {"cpu"})

    def rounding_alike(*args: Any, **settings: Any) -> None:
        sgd(*args, **settings | {"fused": False, "foreach": True})

    monkeypatch.setattr(steps, "sgd", rounding_alike)
