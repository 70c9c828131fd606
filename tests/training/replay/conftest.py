"""Replays without a GPU: what would be recorded is called directly, all the rest is as on a card."""

from __future__ import annotations

from typing import Any

import pytest
from torch.optim.sgd import sgd

from sklab.training import fit
from sklab.training.replay import steps


@pytest.fixture
def replaying(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs on the CPU are trained as on a GPU, but for the kernels: the CPU's fused SGD rounds differently from the one
    of Lightning's loop."""
    monkeypatch.setattr(fit, "REPLAYING", {"cpu"})

    def rounding_alike(*args: Any, **settings: Any) -> None:
        sgd(*args, **settings | {"fused": False, "foreach": True})

    monkeypatch.setattr(steps, "sgd", rounding_alike)
