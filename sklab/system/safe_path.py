"""Nothing that lies in the current directory is executed: neither as a module nor as a program.

It may be anybody's: a downloaded archive, another checkout of sklab. What PYTHONPATH and full paths in PATH name stays.
"""

from __future__ import annotations

import os
import sys


def leave_current_directory() -> None:
    """Look for modules there no longer, as `python -m` does, unless this sklab lies there: before all other imports."""
    here = os.getcwd()  # noqa: PTH109 - pathlib would have to be imported
    if sys.path[0] in ("", here) and _ours() != here and not sys.flags.safe_path:
        del sys.path[0]


def protect() -> None:
    """Keep every process started from here on from finding modules or programs in its current directory; each Python
    finds the sklab that this one runs."""
    os.environ["PYTHONSAFEPATH"] = "1"
    os.environ["PATH"] = os.pathsep.join(_places()) or os.defpath
    if sys.path and os.path.realpath(sys.path[0]) == _ours():  # only this process would find it there
        before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        if _ours() not in before:
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (_ours(), *before)))


def program(name: str) -> str:
    """The path of the program `name`. Raises FileNotFoundError where none of the PATH's full paths has it."""
    import shutil

    found = shutil.which(name, path=os.pathsep.join(_places()) or os.defpath)
    if found is None:
        raise FileNotFoundError(f"{name}: not found on the PATH")
    return found


def _places() -> list[str]:
    """The entries of the PATH that mean the same wherever one is."""
    return [place for place in os.environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(place)]  # noqa: PTH117


def _ours() -> str:
    """The folder that holds the package."""
    package = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120
    return os.path.dirname(package)  # noqa: PTH120
