"""What the server process of the runs loads, and what it leaves out."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path

import pytest
from lightning_utilities.core import imports

from sklab.training.lean_lightning import optional_dependencies, packages_hidden

BEGIN = "import sys\n"
LOADED = """
import sklab.launch.fork.preload
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
    with packages_hidden("sqlite3.nowhere", "pytest"):
        assert find_spec("pytest") is not None, "it was there before"
        assert sys.modules["sqlite3.nowhere"] is None
        with pytest.raises(PackageNotFoundError):
            imports._version("sqlite3.nowhere")
        assert imports._version("pytest") == pytest.__version__
    assert "sqlite3.nowhere" not in sys.modules
    assert imports._version is asked


MISFIT = "operator torchvision::nms does not exist"


def install(place: Path, name: str, content: str) -> None:
    """A library of that name in `place`, as pip leaves it."""
    (place / name).mkdir(parents=True)
    (place / name / "__init__.py").write_text(content)
    (place / f"{name}-0.27.0.dist-info").mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.27.0\n"
    (place / f"{name}-0.27.0.dist-info" / "METADATA").write_text(metadata)


def sklab(*arguments: str, beside: Path) -> subprocess.CompletedProcess[str]:
    """A command of a user who has what lies in `beside` installed as well."""
    path = os.pathsep.join(filter(None, [str(beside), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "sklab.cli", *arguments]
    return subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=300
    )


def test_a_library_that_can_not_be_loaded_ends_no_run_that_does_not_use_it(toy_files, monkeypatch):
    monkeypatch.chdir(toy_files)
    for name in ("torchvision", "transformers", "wandb"):
        install(toy_files / "beside", name, f"raise RuntimeError({MISFIT!r})")
    done = sklab("sweep", "sweep.yaml", "--seeds", "1", "--no-wandb", beside=toy_files / "beside")
    assert (done.returncode, "2 of 2 runs complete" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize(
    ("content", "why"),
    [(f"raise RuntimeError({MISFIT!r})", f"RuntimeError: {MISFIT}"), ("import os; os.abort()", "killed by SIGABRT")],
)
def test_one_that_every_run_needs_is_named_with_its_message_and_not_put_down_to_memory(
    toy_files, monkeypatch, content, why
):
    monkeypatch.chdir(toy_files)
    install(toy_files / "beside", "simplejpeg", content)
    done = sklab("sweep", "sweep.yaml", "--no-wandb", beside=toy_files / "beside")
    last = done.stderr.splitlines()[-1]
    told = f"sklab: what every run loads can't be loaded: {why} (`sklab doctor` tells which library it is)"
    assert (done.returncode, last) == (2, f"{told}; once that is mended, the same command goes on")
    done = sklab("doctor", beside=toy_files / "beside")
    assert f"\n  simplejpeg: {why}\n" in done.stdout
    assert (done.returncode, "\nsklab: no run can start here" in done.stderr) == (2, True)


def test_lightning_is_taken_in_one_place():
    import sklab.training

    [room] = sklab.training.__path__
    takers = {file.name for file in Path(room).rglob("*.py") if "\nfrom lightning." in file.read_text()}
    assert takers == {"lean_lightning.py"}
    assert {"torchvision", "transformers", "scipy", "matplotlib"} <= set(
        optional_dependencies("lightning", "torchmetrics")
    )
    assert not {"torch", "numpy", "wandb"} & set(optional_dependencies("lightning", "torchmetrics"))
