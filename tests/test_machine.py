from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sklab import machine
from sklab.store.records import Code

LISTED = "0, GPU-aaa, NVIDIA H200\n1, GPU-bbb, NVIDIA H200\n"


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        (None, ["0", "1"]),
        ("1", ["1"]),
        ("GPU-aaa", ["GPU-aaa"]),
        ("", []),
        ("7", []),
    ],
)
def test_only_visible_gpus_are_found(monkeypatch, visible, found):
    monkeypatch.setattr(machine, "_output", lambda _: LISTED)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [index for index, _ in machine.find_gpus()] == found


def git(folder: Path, *command: str) -> str:
    who = ["-c", "user.name=somebody", "-c", "user.email=some@body"]
    return subprocess.run(
        ["git", "-C", str(folder), *who, *command], capture_output=True, text=True, check=True
    ).stdout.strip()


def checkout(folder: Path, project: str, package: str = "sklab") -> Path:
    """A commit of a project with a package; what git ignores is `.venv`."""
    (folder / package).mkdir(parents=True)
    (folder / "pyproject.toml").write_text(f'[project]\nname = "{project}"\n')
    (folder / ".gitignore").write_text(".venv\n__pycache__\n")
    (folder / package / "machine.py").write_text("old = True\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder / package


def test_a_checkout_of_sklab_tells_its_commit_and_what_differs_from_it(tmp_path):
    package = checkout(tmp_path / "sklab", "sklab")
    commit = git(tmp_path / "sklab", "rev-parse", "HEAD")
    assert machine._commit_of(package) == (commit, False)
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "machine.pyc").touch()
    (tmp_path / "sklab" / "results").mkdir()
    (tmp_path / "sklab" / "results" / "mine.txt").touch()
    assert machine._commit_of(package) == (commit, False), "none of it is code"
    (package / "new.py").touch()
    assert machine._commit_of(package) == (commit, True), "untracked, and imported all the same"
    (package / "new.py").unlink()
    (package / "machine.py").write_text("old = False\n")
    assert machine._commit_of(package) == (commit, True)


def test_the_commit_of_a_project_that_sklab_is_installed_into_is_not_sklabs(tmp_path, monkeypatch):
    checkout(tmp_path / "mine", "mine", "mine")
    installed = tmp_path / "mine" / ".venv" / "site-packages" / "sklab"
    installed.mkdir(parents=True)
    (installed / "machine.py").touch()
    assert machine._commit_of(installed) == ("", False)
    copied = checkout(tmp_path / "vendor", "vendor")
    assert machine._commit_of(copied) == ("", False), "a copy in somebody's project"
    unpacked = tmp_path / "mine" / "sklab-1.0" / "sklab"
    unpacked.mkdir(parents=True)
    (unpacked / "machine.py").touch()
    (unpacked.parent / "pyproject.toml").write_text('name = "sklab"\n')
    assert machine._commit_of(unpacked) == ("", False), "a release that was unpacked there"


def test_no_variable_leads_git_to_another_checkout(tmp_path, monkeypatch):
    package = checkout(tmp_path / "sklab", "sklab")
    commit = git(tmp_path / "sklab", "rev-parse", "HEAD")
    other = checkout(tmp_path / "other", "sklab").parent
    (other / "sklab" / "machine.py").write_text("other = True\n")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert machine._commit_of(package) == (commit, False)


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files to others")
def test_a_checkout_of_another_owner_tells_no_commit(tmp_path, monkeypatch):
    package = checkout(tmp_path / "sklab", "sklab")
    monkeypatch.setenv("HOME", str(tmp_path))  # a user's settings may trust any folder
    monkeypatch.delenv("SUDO_UID", raising=False)
    for file in (tmp_path / "sklab", *(tmp_path / "sklab").rglob("*")):
        os.chown(file, 12345, 12345)
    assert machine._commit_of(package) == ("", False)


def test_a_checkout_whose_state_git_does_not_tell_counts_as_changed(tmp_path, monkeypatch):
    package, told = checkout(tmp_path / "sklab", "sklab"), machine._output
    monkeypatch.setattr(machine, "_output", lambda command: "" if "status" in command else told(command))
    assert machine._commit_of(package)[1]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Code(version="1", commit="a"), Code(version="1", commit="a"), True),
        (Code(version="1", commit="a"), Code(version="1", commit="b"), False),
        (Code(version="1", commit="a", dirty=True), Code(version="1", commit="a", dirty=True), False),
        (Code(version="1"), Code(version="1"), False),
    ],
)
def test_unknown_is_never_the_same_code(one, other, same):
    assert one.same_as(other) is same


def test_a_machine_without_the_nvidia_tool_has_no_gpu(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert machine.find_gpus() == []


def test_the_processor_has_a_name():
    assert machine.cpu_name()


USED = """\
0, GPU-aaa, 4, 81559, 0, NVIDIA H100 80GB HBM3
1, GPU-bbb, 30517, 81559, 97, NVIDIA H100 80GB HBM3
2, GPU-ccc, [N/A], [N/A], [N/A], NVIDIA A100-SXM4-80GB MIG 3g.40gb, cut
"""
COMPUTING = """\
GPU-bbb, 4711, /usr/bin/python3
GPU-bbb, 4712, [Not Found]
"""


def nvidia_smi(command: list[str]) -> str:
    return COMPUTING if command[1].startswith("--query-compute-apps") else USED


def test_the_use_of_gpus_is_read_as_nvidia_smi_prints_it(monkeypatch):
    monkeypatch.setattr(machine, "_output", nvidia_smi)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    free, used, cut = machine.look_at_gpus()
    assert (free.gpu, free.name, free.busy, free.processes) == ("0", "NVIDIA H100 80GB HBM3", 0.0, ())
    assert (free.used_mb, free.total_mb) == pytest.approx((4.19, 85520.8), rel=1e-2)
    assert (used.busy, used.processes) == (97.0, ("4711 (python3)", "4712 ([Not Found])"))
    assert (cut.used_mb, cut.total_mb, cut.busy) == (None, None, None)
    assert cut.name.endswith("MIG 3g.40gb, cut")


def test_the_use_is_told_of_visible_gpus_only_under_the_names_they_have_there(monkeypatch):
    monkeypatch.setattr(machine, "_output", nvidia_smi)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-bbb,0")
    assert [(gpu.gpu, len(gpu.processes)) for gpu in machine.look_at_gpus()] == [("GPU-bbb", 2), ("0", 0)]


def test_no_use_is_told_where_nothing_prints_any(monkeypatch):
    monkeypatch.setattr(machine, "_output", lambda _: "")
    assert machine.look_at_gpus() == ()
