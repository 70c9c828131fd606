"""What several tests of studies stand on."""

from __future__ import annotations

from pathlib import Path

import pytest

from sklab.folders import StudyFolder
from sklab.sweep import runner


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices whose arithmetic and data nobody checks."""
    monkeypatch.setattr(runner, "ensure_sound", lambda *_: None)


@pytest.fixture
def study(toy_files: Path) -> StudyFolder:
    """The folder of the toy sweep's study, which is not there yet."""
    return StudyFolder(toy_files / "results" / "sweep")
