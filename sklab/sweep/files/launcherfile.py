"""The file behind `--launcher`: which engine runs a study, and what its runs ask of it."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from sklab.errors import Fault, FaultyInputError
from sklab.spec.names import did_you_mean
from sklab.spec.study.launchers import RaySpec, SlurmSpec
from sklab.sweep.files.faults import Layer, details_of, distinct, explain
from sklab.sweep.files.inputs import read_input
from sklab.sweep.files.yamltree import Document

_ENGINES: dict[str, type[SlurmSpec] | type[RaySpec]] = {"slurm": SlurmSpec, "ray": RaySpec}


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
