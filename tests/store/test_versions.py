from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sklab.store import versions
from sklab.store.records import Code


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
    (folder / package / "__init__.py").write_text("old = True\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder / package


def test_a_checkout_of_sklab_tells_its_commit_and_what_differs_from_it(tmp_path):
    package = checkout(tmp_path / "sklab", "sklab")
    commit = git(tmp_path / "sklab", "rev-parse", "HEAD")
    assert versions._commit_of(package) == (commit, False)
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "machine.pyc").touch()
    (tmp_path / "sklab" / "results").mkdir()
    (tmp_path / "sklab" / "results" / "mine.txt").touch()
    assert versions._commit_of(package) == (commit, False), "none of it is code"
    (package / "new.py").touch()
    assert versions._commit_of(package) == (commit, True), "untracked, and imported all the same"
    (package / "new.py").unlink()
    (package / "__init__.py").write_text("old = False\n")
    assert versions._commit_of(package) == (commit, True)


def test_the_commit_of_a_project_that_sklab_is_installed_into_is_not_sklabs(tmp_path, monkeypatch):
    checkout(tmp_path / "mine", "mine", "mine")
    installed = tmp_path / "mine" / ".venv" / "site-packages" / "sklab"
    installed.mkdir(parents=True)
    (installed / "__init__.py").touch()
    assert versions._commit_of(installed) == ("", False)
    copied = checkout(tmp_path / "vendor", "vendor")
    assert versions._commit_of(copied) == ("", False), "a copy in somebody's project"
    unpacked = tmp_path / "mine" / "sklab-1.0" / "sklab"
    unpacked.mkdir(parents=True)
    (unpacked / "__init__.py").touch()
    (unpacked.parent / "pyproject.toml").write_text('name = "sklab"\n')
    assert versions._commit_of(unpacked) == ("", False), "a release that was unpacked there"


def test_no_variable_leads_git_to_another_checkout(tmp_path, monkeypatch):
    package = checkout(tmp_path / "sklab", "sklab")
    commit = git(tmp_path / "sklab", "rev-parse", "HEAD")
    other = checkout(tmp_path / "other", "sklab").parent
    (other / "sklab" / "__init__.py").write_text("other = True\n")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert versions._commit_of(package) == (commit, False)


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files to others")
def test_a_checkout_of_another_owner_tells_no_commit(tmp_path, monkeypatch):
    package = checkout(tmp_path / "sklab", "sklab")
    monkeypatch.setenv("HOME", str(tmp_path))  # a user's settings may trust any folder
    monkeypatch.delenv("SUDO_UID", raising=False)
    for file in (tmp_path / "sklab", *(tmp_path / "sklab").rglob("*")):
        os.chown(file, 12345, 12345)
    assert versions._commit_of(package) == ("", False)


def test_a_checkout_whose_state_git_does_not_tell_counts_as_changed(tmp_path, monkeypatch):
    package, told = checkout(tmp_path / "sklab", "sklab"), versions.output
    monkeypatch.setattr(versions, "output", lambda command: "" if "status" in command else told(command))
    assert versions._commit_of(package)[1]


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
