"""Paths in settings: a relative one starts at the folder of the file that holds it, on the command line at the current
folder. A sweep that is resolved has absolute ones, so it means the same wherever it is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sklab.spec.data import data_sets, data_spec
from sklab.spec.values import leaves

_WEIGHTS = ("model.init", "model.init.file")


def anchored(settings: Mapping[str, Any], folder: Path, data: object = None) -> dict[str, Any]:
    """Settings by dotted path, or the tree of an experiment, which are alike in this; relative paths in them start at
    `folder`. `data` is the name of the data set where the settings name none."""
    named = data_set_of(settings) or data
    return {path: _value(path, value, folder, named) for path, value in settings.items()}


def astray(settings: Mapping[str, Any], folder: Path, data: object = None) -> Iterator[tuple[str, str]]:
    """The dotted path of each file or folder that is not where its file says, but relative to the current folder, as
    paths were read before; with a message that says what to write."""
    named = data_set_of(settings) or data
    for path, text in leaves(settings, lists=False):
        if not _is_relative(path, text, named):
            continue
        meant, found = Path(_absolute(text, folder)), Path(text).absolute()
        if not meant.exists() and found.exists():
            written = os.path.relpath(found, folder.absolute())
            rule = "relative to the current folder; paths in a file are relative to that file"
            yield path, f"no such file or folder: {meant}; found at {found}, {rule}: write {written}"


def data_set_of(settings: Mapping[str, Any]) -> object:
    """The name of the data set in these settings; None where they name none."""
    whole = settings.get("data")
    return settings.get("data.name") or (whole.get("name") if isinstance(whole, Mapping) else None)


def _value(path: str, value: Any, folder: Path, data: object) -> Any:
    if isinstance(value, Mapping):
        return {key: _value(f"{path}.{key}", inner, folder, data) for key, inner in value.items()}
    return _absolute(value, folder) if _is_relative(path, value, data) else value


def _is_relative(path: str, value: Any, data: object) -> bool:
    if not isinstance(value, str) or not value or value.startswith("~") or Path(value).is_absolute():
        return False
    return path in _WEIGHTS or (path.removeprefix("data.") in _places(data) and path.startswith("data."))


def _places(data: object) -> frozenset[str]:
    return data_spec(data).places if isinstance(data, str) and data in data_sets() else frozenset()


def _absolute(text: str, folder: Path) -> str:
    # The folder is resolved first: behind a link, `..` is not what the text of the path says.
    return os.path.normpath(folder.resolve() / text)
