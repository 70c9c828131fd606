"""Nothing that lies in the current directory is executed, whatever its name: no module and no program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sklab.store.study_folder import StudyFolder
from sklab.system import safe_path

SKLAB = [str(Path(sys.executable).with_name("sklab"))]
AS_A_MODULE = [sys.executable, "-m", "sklab.cli"]
MODULES = ("torch", "socket", "numpy", "lightning", "optuna", "yaml", "pydantic", "secrets", "sitecustomize")
PROGRAMS = ("git", "nvidia-smi", "squeue", "sbatch", "srun", "gcc", "python", "env")
CHECKOUT = "sklab/__init__.py"


@pytest.fixture
def hostile(toy_files: Path) -> Path:
    """The toy files' folder, in which somebody has left modules and programs that write their names into `executed`."""
    for name in (*(f"{module}.py" for module in MODULES), CHECKOUT):
        (toy_files / name).parent.mkdir(exist_ok=True)
        (toy_files / name).write_text(f"open({str(toy_files / 'executed')!r}, 'a').write({name + ' '!r})\n")
    for name in PROGRAMS:
        (toy_files / name).write_text(f"#!/bin/sh\necho {name} >> {toy_files / 'executed'}\n")
        (toy_files / name).chmod(0o755)
    return toy_files


def executed(folder: Path) -> str:
    file = folder / "executed"
    return file.read_text() if file.exists() else ""


def typed(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `command` does when it is typed in `folder`, by somebody who looks for programs there as well."""
    path = os.pathsep.join([".", "", os.environ["PATH"], ""])
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    env = {**ours, "PATH": path, **environment}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["sweep", "sweep.yaml", "--no-wandb", "--seeds", "1"],
        ["plan", "sweep.yaml", "--probe"],
        ["doctor", "sweep.yaml"],
        ["models"],
    ],
    ids=" ".join,
)
def test_a_command_executes_nothing_that_lies_where_it_is_typed(hostile, arguments):
    done = typed([*SKLAB, *arguments], hostile)
    assert (done.returncode, executed(hostile)) == (0, ""), done.stderr


def test_as_a_module_it_leaves_the_current_directory_out(hostile):
    (hostile / CHECKOUT).unlink()
    (hostile / "sklab").rmdir()
    done = typed([*AS_A_MODULE, "sweep", "sweep.yaml", "--no-wandb", "--seeds", "1"], hostile)
    assert (done.returncode, executed(hostile)) == (0, ""), done.stderr


def test_runs_are_made_by_the_sklab_that_was_asked(toy_files):
    """A checkout that is run as a module where it lies trains by its own code, as its record says."""
    [package] = __import__("sklab").__path__
    subprocess.run(["cp", "-r", package, toy_files], check=True)
    changed = toy_files / "sklab" / "training" / "run.py"
    changed.write_text(changed.read_text().replace('"status": "complete"', '"status": "complete", "reason": "changed"'))
    done = typed([*AS_A_MODULE, "sweep", "sweep.yaml", "--no-wandb", "--seeds", "1"], toy_files)
    assert done.returncode == 0, done.stderr
    records = StudyFolder(toy_files / "results" / "sweep").records().values()
    assert {record.reason for record in records} == {"changed"}


def test_what_a_user_names_is_found_still(hostile, tmp_path_factory):
    """PYTHONPATH is how plug-ins are found. Here each Python process writes down that it has looked there."""
    plug_ins, seen = tmp_path_factory.mktemp("plug-ins"), hostile / "seen"
    (plug_ins / "sitecustomize.py").write_text(f"import sys; open({str(seen)!r}, 'a').write(f'{{sys.orig_argv}}\\n')")
    done = typed([*SKLAB, "plan", "sweep.yaml", "--probe"], hostile, PYTHONPATH=str(plug_ins))
    assert (done.returncode, executed(hostile)) == (0, ""), done.stderr
    assert {"multiprocessing.forkserver", "multiprocessing.resource_tracker"} <= set(
        seen.read_text().replace("'", " ").split()
    )


def test_programs_are_looked_for_in_named_places_only(tmp_path, monkeypatch):
    (tmp_path / "git").write_text("")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "defpath", "/nowhere")
    for path in (".", "", "./", os.path.relpath(tmp_path, Path.cwd().parent), f".{os.pathsep}/nowhere"):
        monkeypatch.setenv("PATH", path)
        with pytest.raises(FileNotFoundError, match="git"):
            safe_path.program("git")
    monkeypatch.setenv("PATH", f".{os.pathsep}{tmp_path}")
    assert safe_path.program("git") == str(tmp_path / "git")


def test_a_path_of_nothing_but_the_current_directory_becomes_the_systems(monkeypatch):
    monkeypatch.setenv("PATH", ".:")
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    safe_path.protect()
    assert os.environ["PATH"] == os.defpath
    assert os.environ["PYTHONSAFEPATH"] == "1"
