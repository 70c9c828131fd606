"""What the tests on a card share: the card, launchers on it, and orders of toy runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from sklab.launch.local.launcher import LocalLauncher
from sklab.launch.slots import Slot, find_slots
from sklab.store.records import RunOrder
from sklab.store.run_folder import RunFolder

Made = Callable[..., RunFolder]


@pytest.fixture(scope="session")
def slot() -> Slot:
    """The first card. This process does not start CUDA: a broken card must not end the tests."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA card")
    return find_slots()[0]


@pytest.fixture
def launch(slot: Slot) -> Iterator[Callable[..., LocalLauncher]]:
    """Makes launchers of so many places on the card."""
    made: list[LocalLauncher] = []

    def make(count: int = 1, **more: Any) -> LocalLauncher:
        made.append(LocalLauncher((slot,) * count, **more))
        return made[-1]

    yield make
    for launcher in made:
        launcher.stop()


@pytest.fixture
def made(tmp_path: Path, toy_order: Callable[..., RunOrder]) -> Made:
    """Writes the order of a toy run into a folder of its own, which keeps a checkpoint after every step."""

    def make(name: str, seed: int = 0, every: float = 0.0, **train: Any) -> RunFolder:
        run = RunFolder(tmp_path / name)
        run.write_order(toy_order(seed=seed, train=train).model_copy(update={"checkpoint_seconds": every}))
        return run

    return make
