"""What the tests of training share: one thread in this process, and a launcher of runs in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from sklab.launch.local import LocalLauncher
from sklab.launch.slots import Slot


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
