"""Executes a file of own code from the bytes that were hashed, and tells where it fails."""

from __future__ import annotations

import ast
import importlib.abc
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from sklab.errors import SklabError


def execute(file: Path, content: bytes, name: str) -> None:
    """Execute `content`, that of `file`, as the module `name`. Raises SklabError as `files.load` does."""
    path = str(file.absolute())
    spec = importlib.util.spec_from_loader(name, _Held(path, content), origin=path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = path
    sys.modules[name] = module  # as for dataclasses and pickles of what it defines
    try:
        _ensure_alone(file, ast.parse(content, path))
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if not isinstance(error, Exception):
            raise
        raise SklabError(told(error, path)) from error


def told(error: BaseException, path: str) -> str:
    """What a file of own code raised, with the last place in it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    what = str(error) if isinstance(error, SklabError) else traceback.format_exception_only(error)[-1].strip()
    return f"{path}:{line}: {what}" if line else f"{path}: {what}"


def _ensure_alone(file: Path, tree: ast.Module) -> None:
    for line, name in _imports(tree):
        beside = [file.parent / f"{name}.py", file.parent / str(name) / "__init__.py"]
        found = next((each for each in beside if each.is_file()), None)
        if name is None or (found and name != "sklab" and _would_import(name, file.parent)):
            which = f"{found.relative_to(file.parent)} beside it" if found else "a file beside it"
            why = "the hash of one file is the identity of the runs that use it"
            raise SklabError(f"line {line} imports {which}; {why}: put all of it into {file.name}, or install the rest")


def _would_import(name: str, folder: Path) -> bool:
    """Whether `import name` finds nothing, or what lies in `folder`."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return True
    return spec is None or (spec.origin is not None and Path(spec.origin).is_relative_to(folder.absolute()))


def _imports(tree: ast.Module) -> Iterator[tuple[int, str | None]]:
    """The line and the outermost name of each import; None for one that begins at the file's own package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, None if node.level else (node.module or "").partition(".")[0]


class _Held(importlib.abc.InspectLoader):
    """Loads a module from the bytes that were hashed, whatever has become of the file."""

    def __init__(self, path: str, content: bytes) -> None:
        self._path, self._content = path, content

    def get_source(self, fullname: str) -> str:  # noqa: ARG002
        return importlib.util.decode_source(self._content)

    def get_code(self, fullname: str) -> CodeType | None:  # noqa: ARG002
        return self.source_to_code(self._content, self._path)

    def create_module(self, spec: Any) -> ModuleType | None:  # noqa: ARG002
        return None
