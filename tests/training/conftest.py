"""What the tests of training share: one thread in this process, runs in processes of their own, attempts that die."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from attempts import dying

from sklab.launch.local.launcher import LocalLauncher
from sklab.launch.slots import Slot
from sklab.spec.run import RunSpec
from sklab.store.records import RunOrder
from sklab.store.run_folder import RunFolder
from sklab.training import module
from sklab.training.metrics.scores import Scores


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def launcher() -> Iterator[LocalLauncher]:
    """One slot on the CPU, of two threads."""
    launcher = LocalLauncher((Slot(None, "cpu", 2),))
    yield launcher
    launcher.stop()


@pytest.fixture
def dies(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets the next attempt die before its batch or evaluation batch number `at`, from 0; never when None."""
    left = {"batch": -1, "evaluation": -1}

    monkeypatch.setattr(module, "batch_loss", dying(left, "batch", module.batch_loss))
    monkeypatch.setattr(Scores, "add", dying(left, "evaluation", Scores.add))

    def at(batch: int = -1, evaluation: int = -1) -> None:
        left.update(batch=batch, evaluation=evaluation)

    return at


@pytest.fixture
def made(tmp_path: Path, toy_order: Callable[..., RunOrder]) -> Callable[..., tuple[RunOrder, RunFolder]]:
    """An order that keeps a checkpoint after every step, and a folder of its own."""

    def make(name: str, train: dict[str, Any], data: dict[str, Any] | None = None, every: float = 0.0) -> Any:
        order = toy_order(train=train)
        if data is not None:
            tree = order.spec.model_dump()
            tree["experiment"]["data"] = data
            tree["experiment"]["model"] |= {"in_channels": 3, "num_classes": 2}
            spec = RunSpec.model_validate(tree)
            order = order.model_copy(update={"spec": spec, "key": spec.key})
        folder = RunFolder(tmp_path / name)
        folder.write_order(order)
        return order.model_copy(update={"checkpoint_seconds": every}), folder

    return make
