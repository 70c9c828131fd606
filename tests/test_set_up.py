"""What builds the project and what checks it."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKE = """#!/bin/sh
echo "$1 $SKLAB_SKIPS" >> "$MADE"
[ "$1" != "$FAILING" ]
"""


def test_what_builds_it_is_of_one_version_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    [backend] = project["build-system"]["requires"]
    assert "==" in backend
    assert backend in (ROOT / "constraints.txt").read_text().splitlines()


@pytest.mark.parametrize(("failing", "passes"), [("", True), ("programs", True), ("test-rounding", False)])
def test_the_gate_tests_everything_and_takes_no_skip_for_a_pass(tmp_path, failing, passes):
    """Where a program can't be installed, the tests that need it fail, see tests/skips.py."""
    make = tmp_path / "make"
    make.write_text(MAKE)
    make.chmod(0o755)
    env = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "MADE": str(tmp_path / "made"), "FAILING": failing}
    ran = subprocess.run(["bash", ROOT / ".ci/run"], env=env, capture_output=True, text=True, check=False)
    assert (ran.returncode == 0) == passes
    assert ("the tests that need them will fail" in ran.stderr) == (failing == "programs")
    made = (tmp_path / "made").read_text().splitlines()
    all_of_it = ["programs", "test", "test-rounding", "test-slow"]
    assert made == [f"{target} fail" for target in (all_of_it if passes else all_of_it[:3])]
