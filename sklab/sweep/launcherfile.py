"""The file behind `--launcher`: which engine runs a study, and what its runs ask of it."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from sklab.errors import FaultyInputError
from sklab.spec.slurm import SlurmSpec
from sklab.sweep.faults import Layer, details_of, distinct, explain
from sklab.sweep.yamltree import read_mapping


def read_launcher(file: Path) -> SlurmSpec:
    """The settings in `file`. Raises FaultyInputError with every fault of it."""
    document = read_mapping(file)
    try:
        spec = SlurmSpec.model_validate(document.tree)
    except ValidationError as error:
        wrong = explain(details_of(error), SlurmSpec, document.tree, [Layer(document)])
        raise FaultyInputError(distinct([*document.faults, *wrong])) from error
    if document.faults:
        raise FaultyInputError(document.faults)
    return spec
