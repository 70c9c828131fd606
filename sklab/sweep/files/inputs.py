"""The files that commands are given: of the kind that is asked for, or told what they are; and the launcher's.

Where there is none of that name, near ones are told. A launcher's file says which engine runs a study, and what its
runs ask of it.
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
from sklab.sweep.files.yamltree import Document, read_mapping

Kind = Literal["sweep", "experiment", "launcher"]

_FOLDERS = ("sweeps", "experiments")
_A: dict[Kind, str] = {"sweep": "a sweep", "experiment": "an experiment", "launcher": "a launcher"}
# Keys that a file of one kind has and one of another has not.
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


class NoSuchFileError(FaultyInputError):
    """The file to be read is not there; `near` is the one that may be meant, `there` are those that can be."""

    def __init__(self, file: Path, kind: Kind) -> None:
        found = list(dict.fromkeys(_files(file, kind)))
        self.near = _near(file, found)
        self.there = [other for other in found if other.parent == found[0].parent]
        hint, allowed = str(self.near or ""), options(map(str, self.there))
        super().__init__([Fault(str(file), "", "no such file", allowed=allowed, hint=hint)])


def read_input(file: Path, kind: Kind) -> Document:
    """The mapping in `file`. Raises NoSuchFileError, and FaultyInputError for one of another kind or none at all."""
    try:
        document = read_mapping(file)
    except FileNotFoundError as error:
        raise NoSuchFileError(file, kind) from error
    except IsADirectoryError as error:
        raise FaultyInputError([Fault(str(file), "", f"this is a folder; allowed: the file of {_A[kind]}")]) from error
    if told := _other_kind(document.tree, kind):
        raise FaultyInputError([document.fault((), told)])
    return document


def _other_kind(tree: Mapping[str, Any], kind: Kind) -> str:
    """The message that names the kind of the file, where it is clearly of another kind than the one asked for."""
    if "experiment_name" in tree and isinstance(tree.get("experiment"), dict):
        return _RESOLVED
    if _KEYS[kind] & tree.keys():
        return ""
    found = max(_KEYS, key=lambda other: len(_KEYS[other] & tree.keys()))
    return _IS[found] if _KEYS[found] & tree.keys() else ""


def _files(file: Path, kind: Kind) -> Iterator[Path]:
    """YAML files that may be meant: in the folder of such files there or next to it, beside `file`, in others."""
    here = file.parent
    near = [folder for name in _FOLDERS for folder in (here / name, here.parent / name)]
    own = [folder for folder in near if folder.name == f"{kind}s"]
    for folder in (*own, here, *near):
        yield from sorted((*folder.glob("*.yaml"), *folder.glob("*.yml")))


def _near(file: Path, found: list[Path]) -> Path | None:
    """The file of the same name, or else of the most similar one: before others, of those beside `file`."""
    name = file.stem if file.suffix in (".yaml", ".yml") else file.name
    for others in ([other for other in found if other.parent == file.parent], found):
        stems = {other.stem: other for other in reversed(others)}
        if near := name if name in stems else did_you_mean(name, stems):
            return stems[near]
    return None


def read_launcher(file: Path) -> SlurmSpec | RaySpec:
    """The settings in `file`. Raises FaultyInputError with every fault of it."""
    document = read_input(file, "launcher")
    engine, faults = _engine(document)
    tree = {**document.tree, "launcher": engine}
    try:
        spec = _ENGINES[engine].model_validate(tree)
    except ValidationError as error:
        wrong = explain(details_of(error), _ENGINES[engine], tree, [Layer(document)])
        raise FaultyInputError(distinct([*document.faults, *faults, *wrong])) from error
    if told := [*document.faults, *faults]:
        raise FaultyInputError(told)
    return spec


def _engine(document: Document) -> tuple[str, list[Fault]]:
    """The engine that the file's other settings belong to, with the fault of a name that only is near it.

    Raises FaultyInputError where none can be meant: what else is faulty is not known then.
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
