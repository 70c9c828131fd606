"""Read the files that commands are given, and the settings in a launcher's file.

A file of another kind than the command takes is refused with a message that names its kind; for a missing file, the
message has similar names. A launcher's file names the engine that runs a study, and the requests of each run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from sklab.errors import Fault, FaultyInputError
from sklab.spec.names import did_you_mean
from sklab.spec.study.launchers import RaySpec, SlurmSpec
from sklab.sweep.files.faults import Layer, details_of, distinct, explain, options
from sklab.sweep.files.yamltree import Document, parse

Kind = Literal["sweep", "experiment", "launcher"]

_FOLDERS = ("sweeps", "experiments")
_A: dict[Kind, str] = {"sweep": "a sweep", "experiment": "an experiment", "launcher": "a launcher"}
# Keys that only files of one kind have.
_KEYS: dict[Kind, set[str]] = {
    "sweep": {"experiment", "design", "cells", "factors", "baseline", "seeds"},
    "experiment": {"data", "model", "train"},
    "launcher": {"launcher", "parallel", "partition", "sbatch", "address"},
}
_IS: dict[Kind, str] = {
    "sweep": "this is a sweep; `sklab sweep` takes it, and its experiment stands there under `experiment:`",
    "experiment": "this is an experiment; a sweep names it under `experiment:`, and `sklab train` takes it alone",
    "launcher": "this is a launcher's file; it is given beside a sweep, as `--launcher FILE`",
}
_RESOLVED = "this is what a study keeps of its sweep; the sweep file that it was made from is meant here"
_ENGINES: dict[str, type[SlurmSpec] | type[RaySpec]] = {"slurm": SlurmSpec, "ray": RaySpec}


MAX_BYTES = 4 * 2**20


class NoSuchFileError(FaultyInputError):
    """There is no such file; `near` is the one that may be meant, `present` are all that could be."""

    def __init__(self, file: Path, kind: Kind) -> None:
        files = list(dict.fromkeys(_files(file, kind)))
        self.near = _near(file, files)
        self.present = [other for other in files if other.parent == files[0].parent]
        hint, allowed = str(self.near or ""), options(map(str, self.present))
        super().__init__([Fault(str(file), "", "no such file", allowed=allowed, hint=hint)])


def read_input(file: Path, kind: Kind) -> Document:
    """The mapping in `file`. Raises NoSuchFileError, and FaultyInputError for a file of another kind or without
    a mapping."""
    try:
        document = read_mapping(file)
    except FileNotFoundError as error:
        raise NoSuchFileError(file, kind) from error
    except IsADirectoryError as error:
        raise FaultyInputError([Fault(str(file), "", f"this is a folder; allowed: the file of {_A[kind]}")]) from error
    if message := _other_kind(document.tree, kind):
        raise FaultyInputError([document.fault((), message)])
    return document


def read_mapping(file: Path) -> Document:
    """The YAML mapping in `file`. Raises FaultyInputError when there is none, FileNotFoundError or
    IsADirectoryError when there is no file."""
    document = parse(_text(file), str(file))
    if isinstance(document.tree, dict):
        return document
    message = "the file is empty" if document.tree is None else "a mapping of keys to values is expected"
    raise FaultyInputError([*document.faults, document.fault((), message)])


def _text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            text = stream.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise FaultyInputError([Fault(str(file), "", f"larger than {MAX_BYTES >> 20} MB")])
        return text.decode("utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise
    except UnicodeDecodeError as error:
        fault = Fault(str(file), "", "not UTF-8 text", 1 + error.object[: error.start].count(b"\n"))
        raise FaultyInputError([fault]) from error
    except (OSError, ValueError) as error:
        raise FaultyInputError([Fault(str(file), "", f"can't be read: {error}")]) from error


def _other_kind(tree: Mapping[str, Any], kind: Kind) -> str:
    """The message that names the kind of the file, where it is clearly of another kind than the one asked for."""
    if "experiment_name" in tree and isinstance(tree.get("experiment"), dict):
        return _RESOLVED
    if _KEYS[kind] & tree.keys():
        return ""
    likely = max(_KEYS, key=lambda other: len(_KEYS[other] & tree.keys()))
    return _IS[likely] if _KEYS[likely] & tree.keys() else ""


def _files(file: Path, kind: Kind) -> Iterator[Path]:
    """YAML files that may be meant: first those in a folder for this kind, then those beside `file`, then others."""
    here = file.parent
    near = [folder for name in _FOLDERS for folder in (here / name, here.parent / name)]
    own = [folder for folder in near if folder.name == f"{kind}s"]
    for folder in (*own, here, *near):
        yield from sorted((*folder.glob("*.yaml"), *folder.glob("*.yml")))


def _near(file: Path, files: list[Path]) -> Path | None:
    """The file with the same or else the most similar name; those beside `file` are looked at first."""
    name = file.stem if file.suffix in (".yaml", ".yml") else file.name
    for others in ([other for other in files if other.parent == file.parent], files):
        stems = {other.stem: other for other in reversed(others)}
        if near := name if name in stems else did_you_mean(name, stems):
            return stems[near]
    return None


def read_launcher(file: Path) -> SlurmSpec | RaySpec:
    """The settings in `file`. Raises FaultyInputError with all its faults."""
    document = read_input(file, "launcher")
    engine, faults = _engine(document)
    tree = {**document.tree, "launcher": engine}
    try:
        spec = _ENGINES[engine].model_validate(tree)
    except ValidationError as error:
        wrong = explain(details_of(error), _ENGINES[engine], tree, [Layer(document)])
        raise FaultyInputError(distinct([*document.faults, *faults, *wrong])) from error
    if all_faults := [*document.faults, *faults]:
        raise FaultyInputError(all_faults)
    return spec


def _engine(document: Document) -> tuple[str, list[Fault]]:
    """The engine that the file names; for a misspelled name the most similar engine, with the fault.

    Raises FaultyInputError where no engine can be meant: the other settings can't be checked then.
    """
    name = document.tree.get("launcher")
    if isinstance(name, str) and name in _ENGINES:
        return name, []
    message = "missing" if name is None else "unknown value"
    hint = did_you_mean(str(name), _ENGINES)
    fault = document.fault(("launcher",), message, allowed=", ".join(_ENGINES), hint=hint)
    if not hint:
        raise FaultyInputError([*document.faults, fault])
    return hint, [fault]
