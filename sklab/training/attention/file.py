"""`sklab analyze --weights`: what a trained network does that belongs to no study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from sklab.data.cache import load_splits
from sklab.data.loaders import Loaders, loaders_of
from sklab.models.numerics import placed
from sklab.models.weights.description import Description
from sklab.models.weights.network import Trained
from sklab.spec.analysis import Analysis
from sklab.spec.data import DataSpec, data_sets, data_spec
from sklab.spec.run import Experiment
from sklab.spec.train import TrainSpec
from sklab.store.files import read_kept, sealed, write_whole
from sklab.training.attention.analyze import checked, is_of
from sklab.training.attention.behaviour import behaviour
from sklab.training.determinism import ensure_starts, set_arithmetic
from sklab.training.recipe import autocast

_BATCH = 64  # images
_MOST_BYTES = 256 * 2**20  # of an analysis, which grows with the number of classes
_TAKEN = ("mean", "std")  # settings of data that the file knows better than the defaults


def analyze_file(
    trained: Trained, data: Mapping[str, Any], scales: Sequence[float], device_type: str, folder: Path
) -> Analysis:
    """Analyse the network of a file of weights and write `analysis.json` into `folder`; one of the same weights and
    settings that stands there is returned.

    data    settings of the data set, with its `name`. Those that the network or its file state need not be given: the
            number of classes, the size of the images, mean and standard deviation of the pixels
    scales  rising enlargements from 1.0

    Raises SklabError when the data are missing or do not go with the network, and when the GPU can't be used.
    """
    experiment = _experiment(trained, data)
    file = folder / "analysis.json"
    found = read_kept(file, Analysis, _MOST_BYTES)
    settings = (trained.digest, tuple(scales))
    if found and (found.weights, found.enlargements) == settings and is_of(found, experiment.data):
        return found
    device = torch.device(device_type)
    set_arithmetic(device, deterministic=True)
    ensure_starts(device)
    loaders, recipe = _loaders(experiment.data, experiment.train, device)
    network = placed(trained.network, recipe.memory_format, device)
    analysis = Analysis(
        key=trained.description.run if trained.description else "",
        seed=None,
        data=experiment.data,
        **behaviour(network, trained.model, loaders, autocast(recipe, device), scales),
        device=device_type,
        torch=torch.__version__,
        weights=trained.digest,
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(file, sealed(analysis, indent=None))
    return analysis


def other_pixels(trained: Trained, data: DataSpec) -> str:
    """The notice that the data's pixels are not normalised as those that the network was trained on; "" where they are,
    and where that is not known."""
    told = trained.description
    if told is None or all(_equal(getattr(data, name), getattr(told, name)) for name in _TAKEN):
        return ""
    was, here = (f"mean {list(of.mean)} and std {list(of.std)}" for of in (told, data))
    return f"the network was trained on pixels normalised with {was}; those of {data.name} have {here}"


def _equal(of_data: Sequence[float], told: Sequence[float]) -> bool:
    """Whether these are the same numbers per channel; a data set may have one for all channels."""
    return set(of_data) == set(told) if len(of_data) == 1 else tuple(of_data) == tuple(told)


def _experiment(trained: Trained, data: Mapping[str, Any]) -> Experiment:
    """The network on the data, with a recipe that only says how they are computed."""
    recipe = TrainSpec(epochs=1, batch_size=_BATCH, lr=1.0)
    return checked({"data": _completed(trained, data), "model": trained.model, "train": recipe})


def _completed(trained: Trained, data: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the data, with those that are known from the network."""
    if data.get("name") not in data_sets():
        return dict(data)
    fields = data_spec(str(data["name"])).model_fields
    known = {"num_classes": trained.model.num_classes} if fields["num_classes"].is_required() else {}
    colours = trained.model.in_channels == fields["channels"].default  # else the data are refused for that
    told = _as_trained(trained.description, fields.keys() - data.keys()) if trained.description and colours else {}
    return {**known, **told, **data}


def _as_trained(description: Description, open_settings: set[str]) -> dict[str, Any]:
    """What the file says of the images that the network was trained on, for settings that a set of files has."""
    taken = {name: getattr(description, name) for name in _TAKEN if name in open_settings}
    if {"image_size", "resize"} <= open_settings:
        size = description.image_size
        taken |= {"image_size": size, "resize": round(size * 256 / 224)}  # the share that a set's defaults cut out
    return taken


def _loaders(data: DataSpec, recipe: TrainSpec, device: torch.device) -> tuple[Loaders, TrainSpec]:
    """The images in batches, smaller ones where there are few."""
    splits = load_splits(data)
    fitting = recipe.model_copy(update={"batch_size": max(2, min(_BATCH, len(splits.train.labels)))})
    return loaders_of(data, splits, fitting, 0, device), fitting
