"""What the server process of the runs loads, and what it leaves out."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec

import pytest
from lightning_utilities.core import imports

from sklab.launch.left_out import left_out

BEGIN = "import sys\n"
LOADED = """
import sklab.launch.preload
print(*sorted({"scipy", "matplotlib", "lightning.pytorch", "sklab.training.run"} & set(sys.modules)))
import matplotlib.pyplot, scipy.signal
from torchmetrics.functional.audio import permutation_invariant_training
print(scipy.signal.windows.hann(3).max(), matplotlib.pyplot.Figure.__name__)
"""
ASKS_IN_ITS_OWN_WAY = """
from types import FunctionType
from lightning_utilities.core import imports
asks = imports.RequirementCache._check_requirement
imports.RequirementCache._check_requirement = FunctionType(asks.__code__, dict(vars(imports)))
"""


def loaded(script: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", BEGIN + script + LOADED], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_the_server_loads_what_a_run_needs_and_no_more():
    assert loaded("") == ["lightning.pytorch sklab.training.run", "1.0 Figure"]


def test_where_the_way_to_ask_has_changed_all_is_loaded():
    assert loaded(ASKS_IN_ITS_OWN_WAY) == ["lightning.pytorch matplotlib scipy sklab.training.run", "1.0 Figure"]


def test_a_package_is_absent_for_a_while():
    asked = imports._version
    with left_out("sqlite3.nowhere", "pytest"):
        assert find_spec("pytest") is not None, "it was there before"
        assert sys.modules["sqlite3.nowhere"] is None
        with pytest.raises(PackageNotFoundError):
            imports._version("sqlite3.nowhere")
        assert imports._version("pytest") == pytest.__version__
    assert "sqlite3.nowhere" not in sys.modules
    assert imports._version is asked
