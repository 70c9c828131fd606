"""A job that an earlier runner has left."""

from __future__ import annotations

from pathlib import Path

import pytest
from left import left_job

from sklab.launch.base import Job


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return left_job(tmp_path)
