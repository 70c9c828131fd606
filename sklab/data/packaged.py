"""Files that come inside a Python package: found without importing it, and taken only with the bytes that are known."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from sklab.errors import SklabError
from sklab.store.files import content


def read_packaged(name: str, package: str, path: str, sha256: str) -> bytes:
    """The bytes of the file `path` in the folder of `package`, for the data set called `name`.

    Raises SklabError, with the remedy, if the package or the file is missing, or if its SHA-256 is another one.
    """
    file = _folder(name, package) / path
    try:
        data = content(file)
    except OSError as error:
        raise SklabError(f"data set {name}: {file}: {error.strerror}; {_remedy('--force-reinstall ')}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        other = f"{file} has other bytes (SHA-256 {found[:16]}…) than this set is made of ({sha256[:16]}…)"
        raise SklabError(f"data set {name}: {other}; {_remedy('--force-reinstall ')}")
    return data


def _folder(name: str, package: str) -> Path:
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SklabError(f"data set {name} needs {package}, which is not installed; {_remedy()}")
    return Path(next(iter(found.submodule_search_locations)))


def _remedy(how: str = "") -> str:
    return f"pip install {how}'sklab[photos]'"
