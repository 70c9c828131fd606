"""What several tests of studies stand on."""

from __future__ import annotations

from pathlib import Path

import pytest

from sklab.folders import StudyFolder
from sklab.sweep import policy, runner
from sklab.sweep.held import NOT_READ


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices whose arithmetic and data nobody checks."""
    monkeypatch.setattr(runner, "ensure_sound", lambda *_: NOT_READ)


@pytest.fixture
def study(toy_files: Path) -> StudyFolder:
    """The folder of the toy sweep's study, which is not there yet."""
    return StudyFolder(toy_files / "results" / "sweep")


@pytest.fixture
def quiet_machine(sound: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, and the kernel has killed nothing for memory."""
    monkeypatch.setattr(policy, "oom_kills", lambda: 0)
