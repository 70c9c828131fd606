"""Versions that decide a run's numbers beside its spec: of sklab's checkout and of libraries."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sklab.spec.run import Experiment
from sklab.store.records import Code
from sklab.system.machine import output


def this_code() -> Code:
    """The version of sklab and, when it runs from a git checkout of its own, the commit and whether sklab's own files
    differ from it."""
    commit, dirty = _commit_of(Path(__file__).resolve().parents[1])
    return Code(version=version("sklab"), commit=commit, dirty=dirty)


def _commit_of(package: Path) -> tuple[str, bool]:
    """The commit that holds the source in `package`, and whether files there differ from it or are not in it. "" where
    git has no commit, refuses to tell (the checkout of another owner), or the checkout is that of a project in which
    sklab is installed."""
    git = ["git", "-C", str(package.parent)]
    project = package.parent / "pyproject.toml"
    if not project.is_file() or 'name = "sklab"' not in project.read_text(encoding="utf-8", errors="replace"):
        return "", False
    tracked = output([*git, "ls-files", "--error-unmatch", "--", project.name, f"{package.name}/__init__.py"])
    commit = output([*git, "rev-parse", "HEAD"]).strip() if tracked else ""
    # With the line of the branch, so that an empty output means that git failed.
    status = output([*git, "status", "--porcelain", "--branch", "--untracked-files=all", "--", package.name])
    return commit, bool(commit) and len(status.splitlines()) != 1


def installed(names: Iterable[str]) -> dict[str, str]:
    """The versions of these packages, or "not installed"."""
    return {name: _version(name) for name in names}


def dependencies(experiment: Experiment) -> dict[str, str]:
    """The versions of its optional libraries: they decide the experiment's result beside sklab."""
    return installed(experiment.libraries)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
