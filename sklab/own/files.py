"""The user's file of own code: which one is named, its hash, its copies, and what it defines.

Only what the user has named is executed: by `--code FILE`, or by `code = "my_lab.py"` in a `sklab.toml` of the project;
and copies of it that have the same hash. A file is executed when something that it may define is looked for, and not
before: to read records, nothing is.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sklab.errors import SklabError
from sklab.own.execution import execute, told
from sklab.own.registry import NOUNS, Kind, Own, collected
from sklab.system.machine import cache_folder
from sklab.system.terminal import tell

PROJECT_FILE = "sklab.toml"
FOLDER = "code"  # beside the order of a job: a folder for each hash, with the file in it
HASH = r"^[0-9a-f]{32}$"
_DIGITS = 32
_STUDY = ("sweep.yaml", "runs")  # what lies in the folder of a study


@dataclass(frozen=True)
class CodeFile:
    """A file of own code, executed: its `path`, its `content` with the `hash`, and what it `defines`."""

    path: str
    content: bytes
    hash: str
    defines: Mapping[tuple[Kind, str], Own]

    @property
    def name(self) -> str:
        """The name of the file, without its folder."""
        return Path(self.path).name


@dataclass
class _Choice:
    """The file that is named for what this process does; `by` says where, "" for the command line."""

    file: Path
    by: str = ""
    loaded: CodeFile | None = None


_loaded: dict[str, CodeFile] = {}
_places: dict[Path, None] = {}  # folders with copies that were made for the work of this process
_choice: list[_Choice] = []  # at most one


def choose(code: Path | None, beside: Path | None = None, results: Path | None = None) -> None:
    """Name the file of own code for what follows: `code`, else what the nearest `sklab.toml` names, looked for from the
    folder `beside` upwards and then from the current folder. None in a study's folder, or in `results`, is heeded: it
    may have come from anywhere. Raises SklabError where there is no such file."""
    _choice.clear()
    found = _Choice(code) if code else _by_project([*([beside] if beside else []), Path.cwd()], results)
    if found and not found.file.is_file():
        where = f"{found.by}: code" if found.by else "--code"
        raise SklabError(f"{where}: {found.file}: no such file; allowed: a Python file of your own")
    _choice.extend([found] if found else [])


def _by_project(starts: Iterable[Path], results: Path | None) -> _Choice | None:
    for start in starts:
        folder = start.resolve()
        for each in (folder, *folder.parents):
            toml = each / PROJECT_FILE
            if toml.is_file() and not _holds_results(each, results):
                named = _named_in(toml)
                return _Choice(each / named, str(toml)) if named else None
    return None


def _holds_results(folder: Path, results: Path | None) -> bool:
    chain = (folder, *folder.parents)
    return (results is not None and results.resolve() in chain) or any(
        all((each / name).exists() for name in _STUDY) for each in chain
    )


def _named_in(toml: Path) -> str:
    try:
        settings = tomllib.loads(toml.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SklabError(f"{toml}: can't be read ({error})") from None
    if unknown := [name for name in settings if name != "code"]:
        raise SklabError(f"{toml}: {unknown[0]}: unknown key; allowed: code")
    named = settings.get("code", "")
    if not isinstance(named, str):
        raise SklabError(f'{toml}: code: found {named!r}; allowed: the path of a Python file, as in code = "my_lab.py"')
    return named


def current() -> CodeFile | None:
    """The file that is named here, executed; None where none is. Raises SklabError as `load` does."""
    if not _choice:
        return None
    choice = _choice[0]
    if choice.loaded is None:
        if choice.by:
            tell(f"sklab: executing {choice.file}, as {choice.by} says")
        choice.loaded = load(choice.file)
        with suppress(OSError):  # a cache that can't be written: then only copies beside runs are found
            _keep(choice.loaded, cache_folder() / FOLDER)
    return choice.loaded


def find(kind: Kind, name: str, code: str | None = None) -> Own | None:
    """What the named file defines under this name; with `code`, only if that is its hash and it was executed already:
    to understand what is written down, nothing is executed."""
    held = current() if code is None else _choice[0].loaded if _choice else None
    if held is None or code not in (None, held.hash):
        return None
    return held.defines.get((kind, name))


def hash_of_current() -> str:
    """The hash of the named file; "" where none is named."""
    held = current()
    return held.hash if held else ""


def names(kind: Kind) -> tuple[str, ...]:
    """The names that the named file defines, if it was executed already."""
    held = _choice[0].loaded if _choice else None
    return tuple(name for of, name in held.defines if of == kind) if held else ()


def own(kind: Kind, name: str, code: str) -> Own:
    """What the file with the hash `code` defines under this name. Raises SklabError, with the remedy, where no such
    file was named."""
    found = file_of(code).defines.get((kind, name))
    if found is None:
        raise SklabError(f"no {NOUNS[kind]} {name!r} in the file of own code {code[:8]}")
    return found


def called(own: Own, code: str, *given: Any, **settings: Any) -> Any:
    """The result of a call of own code. Raises SklabError, with the last place in the file, for whatever it raises."""
    try:
        return own.call(*given, **settings)
    except Exception as error:
        raise SklabError(f"{own}: {told(error, _loaded[code].path)}") from error


def file_of(code: str) -> CodeFile:
    """The file with this hash: the named one, or a copy of one that was named before. Raises SklabError, with the
    remedy, where there is none."""
    if code in _loaded:
        return _loaded[code]
    for place in (*reversed(_places), cache_folder() / FOLDER):
        for file in sorted((place / code).glob("*.py")):
            if _hash(file.read_bytes()) == code:
                return load(file)
    held = current()
    if held and held.hash == code:
        return held
    than = f"that is another one than {held.name} of now ({held.hash[:8]})" if held else "and no file is named here"
    remedy = f"a copy of it lies in {FOLDER}/{code} beside its run; read it, then name it: --code FILE"
    raise SklabError(f"this needs the file of own code with the hash {code[:8]}, {than}; {remedy}")


def look_in(folder: Path) -> None:
    """Have this process, which does a job in `folder`, find the copies there."""
    _places[folder / FOLDER] = None


def copy_of(folder: Path, code: str) -> Path:
    """Where a copy of the file with this hash lies in the folder of a job."""
    place = folder / FOLDER / code
    return next(iter(sorted(place.glob("*.py"))), place)


def keep_copies(folder: Path, codes: Iterable[str]) -> None:
    """Put a copy of each file of these hashes into `folder`, for jobs that work there."""
    for code in dict.fromkeys(codes):
        _keep(file_of(code), folder / FOLDER)


def _keep(file: CodeFile, folder: Path) -> None:
    target = folder / file.hash / file.name
    with suppress(OSError):
        if target.read_bytes() == file.content:
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    aside.write_bytes(file.content)
    aside.replace(target)


def load(file: Path) -> CodeFile:
    """Execute `file`. Raises SklabError, with its last line and place, for whatever it raises; and for one that imports
    another file beside it, which its hash would not cover."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise SklabError(f"{file}: can't be read ({error.strerror})") from None
    code = _hash(content)
    if code not in _loaded:
        with collected() as found:
            execute(file, content, f"sklab_own_{code}")
        _loaded[code] = CodeFile(str(file.absolute()), content, code, found)
    return _loaded[code]


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]
