"""The file behind `--launcher`: which engine runs a study, and what its runs ask of it."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from sklab.errors import FaultyInputError, did_you_mean
from sklab.spec.ray import RaySpec
from sklab.spec.slurm import SlurmSpec
from sklab.sweep.faults import Layer, details_of, distinct, explain
from sklab.sweep.yamltree import Document, read_mapping

_ENGINES: dict[str, type[SlurmSpec] | type[RaySpec]] = {"slurm": SlurmSpec, "ray": RaySpec}


def read_launcher(file: Path) -> SlurmSpec | RaySpec:
    """The settings in `file`. Raises FaultyInputError with every fault of it."""
    document = read_mapping(file)
    engine = _engine(document)
    try:
        spec = engine.model_validate(document.tree)
    except ValidationError as error:
        wrong = explain(details_of(error), engine, document.tree, [Layer(document)])
        raise FaultyInputError(distinct([*document.faults, *wrong])) from error
    if document.faults:
        raise FaultyInputError(document.faults)
    return spec


def _engine(document: Document) -> type[SlurmSpec] | type[RaySpec]:
    """What the file's other settings belong to. Raises FaultyInputError where it names no engine there is."""
    name = document.tree.get("launcher")
    if not isinstance(name, str) or name not in _ENGINES:
        message = "missing" if name is None else "unknown value"
        hint = did_you_mean(str(name), _ENGINES)
        raise FaultyInputError([document.fault(("launcher",), message, allowed=", ".join(_ENGINES), hint=hint)])
    return _ENGINES[name]
