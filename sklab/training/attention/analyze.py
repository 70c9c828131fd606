"""`sklab analyze` of runs: what their kept weights do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from pydantic import ValidationError

from sklab.data.kept import read_inventory
from sklab.data.loaders import open_loaders
from sklab.errors import FaultyInputError, SklabError
from sklab.spec.analysis import Analysis
from sklab.spec.data import DataSpec
from sklab.spec.own.parts import class_named
from sklab.spec.run import Experiment
from sklab.spec.values import fault_of
from sklab.store.files import sealed, write_whole
from sklab.store.run_folder import RunFolder
from sklab.system.phases import phase
from sklab.training.attention.behaviour import behaviour
from sklab.training.evaluate import complete_record, compute_as, ensure_trained_on, kept_network
from sklab.training.recipe import autocast


def analyze(folder: RunFolder, data: Mapping[str, Any], scales: Sequence[float], device_type: str) -> Analysis:
    """Analyse the run in `folder` and write `analysis.json`; one of the same settings that stands there is returned.

    data    settings of the data set that replace the run's own; with a `name`, all settings of another set
    scales  rising enlargements from 1.0

    Raises SklabError when the run is not complete or has no weights, when the data are missing, do not go with the
    network or, with no other `data` named, are no longer those that it was trained on, and when the GPU can't be used.
    """
    record = complete_record(folder)
    experiment = on_data(folder.read_order().spec.trained, data)  # where its last order says that the data lie
    found = folder.read_analysis()
    if found and found.enlargements == tuple(scales) and is_of(found, experiment.data):
        return found
    device = torch.device(device_type)
    compute_as(record, device)
    network = kept_network(folder, record, device)
    loaders = open_loaders(experiment.data, experiment.train, record.spec.seed, device)
    if not data:
        ensure_trained_on(record, loaders)
    analysis = Analysis(
        key=record.key,
        seed=record.spec.seed,
        data=experiment.data,
        **behaviour(network, experiment.model, loaders, autocast(experiment.train, device), scales),
        device=device_type,
        torch=torch.__version__,
        weights=record.files.get(folder.weights_file.name, ""),
    )
    write_whole(folder.analysis_file, sealed(analysis, indent=None))
    return analysis


def analyze_all(
    runs: Mapping[str, Sequence[RunFolder]],
    data: Mapping[str, Any],
    scales: Sequence[float],
    device_type: str,
    say: Callable[[str], None],
) -> dict[str, list[Analysis]]:
    """Analyses of the runs of each cell, with progress messages; runs that can't be analysed are named and left out.

    What is finished stays finished, whatever happens to the rest. Raises FaultyInputError for `data` that do not fit,
    and SklabError where no run can be analysed.
    """
    planned = [(cell, run) for cell, of_cell in runs.items() for run in of_cell]
    found: dict[str, list[Analysis]] = {cell: [] for cell in runs}
    with phase("analysing runs", len(planned)) as analysing:
        for number, (cell, run) in enumerate(planned, start=1):
            state = "ok"
            try:
                found[cell].append(analyze(run, data, scales, device_type))
            except FaultyInputError:
                raise
            except SklabError as error:
                state = str(error)
            analysing.advance()
            say(f"[{number}/{len(planned)}] {cell}: {state}")
    if not any(found.values()):
        raise SklabError("no run could be analysed")
    return found


def on_data(experiment: Experiment, data: Mapping[str, Any]) -> Experiment:
    """`experiment` with settings of its data set replaced. Raises SklabError for settings that can't be."""
    own = {} if "name" in data else experiment.data.model_dump()
    return checked({**experiment.model_dump(), "data": {**own, **data}})


def checked(tree: Mapping[str, Any]) -> Experiment:
    """The experiment of these settings, of which those of the data come from `--data`. Raises FaultyInputError for
    those that do not fit."""
    try:
        return Experiment.model_validate(tree)
    except ValidationError as error:
        name = tree["data"].get("name")
        faults = [fault_of(detail, "--data", "data", lambda _: _fields(name)) for detail in error.errors()]
        raise FaultyInputError(faults) from None


def _fields(name: Any) -> tuple[str, ...]:
    known = class_named("data_set", name)
    return tuple(known.model_fields) if known else ()


def is_of(found: Analysis, data: DataSpec) -> bool:
    """Whether it was made of these very images, wherever they lie now."""
    if type(found.data) is not type(data) or found.data.identity() != data.identity():
        return False
    if data.drawn:
        return True
    try:
        held = read_inventory(data)
    except SklabError:  # nothing else can be analysed in their place
        return found.data == data
    return bool(held and found.fingerprint and found.fingerprint.same_as(held.fingerprint))
