"""Optional libraries, and the versions that decide a run's numbers beside its spec."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from sklab.errors import SklabError
from sklab.spec.run import Experiment
from sklab.store.records import Code
from sklab.system.machine import output

Library = Literal["timm", "torchvision"]

INSTALL: dict[Library, str] = {
    "timm": "pip install 'sklab[timm]'",
    "torchvision": "pip install 'sklab[torchvision]'",
}


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


def imported(library: Library, module: str = "") -> Any:
    """The library, or its module of that name. Raises SklabError, with the remedy, when it can't be imported."""
    try:
        whole = import_module(library)
        return import_module(f"{library}.{module}") if module else whole
    except ModuleNotFoundError as error:
        if error.name == library:
            raise SklabError(f"{library} is not installed; {INSTALL[library]}") from None
        raise SklabError(f"{library} lacks the package {error.name!r}; {INSTALL[library]}") from error
    except (ImportError, OSError, RuntimeError) as error:  # built for another torch, or for a GPU this machine lacks
        raise SklabError(f"{library} is installed but can't be imported ({error}); {INSTALL[library]}") from error
