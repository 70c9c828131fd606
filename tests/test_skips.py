"""The gate takes no skip for a pass."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

SKIPPING = """
import pytest

@pytest.mark.skipif(True, reason="Chromium is not installed")
def test_marked():
    pass

@pytest.fixture
def slurm():
    pytest.skip("no Slurm here")

def test_by_its_fixture(slurm):
    pass

def test_as_it_runs():
    pytest.skip("needs Ray")

def test_of_the_machine():
    pytest.skip("this machine has no such fault")

def test_that_runs():
    pass
"""
WHOLE = 'import pytest\npytest.skip("a whole file", allow_module_level=True)\n'


@pytest.mark.parametrize("workers", [[], ["-n", "1"]])
@pytest.mark.parametrize("asked", ["", "fail"])
def test_a_skip_fails_with_its_reason_where_it_is_asked_to(tmp_path, asked, workers):
    (tmp_path / "test_skipping.py").write_text(SKIPPING)
    (tmp_path / "test_whole.py").write_text(WHOLE)
    command = [sys.executable, "-m", "pytest", "-p", "skips", *workers, "--continue-on-collection-errors", tmp_path]
    answer = subprocess.run(
        [*command, "-c", os.devnull, "-p", "no:cacheprovider", "-rs"],
        env={**os.environ, "SKLAB_SKIPS": asked, "PYTHONPATH": str(HERE)}, cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    refused = ["Chromium is not installed", "no Slurm here", "needs Ray", "a whole file"]
    if asked:
        assert answer.returncode == 1, answer.stdout
        for reason in refused:
            assert f"was skipped, which SKLAB_SKIPS=fail refuses: {reason}" in answer.stdout
        assert "1 passed, 1 skipped" in answer.stdout
    else:
        assert answer.returncode == 0, answer.stdout
        assert "1 passed, 5 skipped" in answer.stdout
