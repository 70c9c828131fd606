"""Every test begins as a new process of somebody who has named no file yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from own_lab import forget


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("SKLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    forget()
    yield
    forget()
