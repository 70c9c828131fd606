"""What a run's kept weights do: attention on enlarged objects, and the receptive field of every stage."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn

from sklab.data.kept import read_inventory
from sklab.data.loaders import Loaders, open_loaders
from sklab.errors import FaultyInputError, SklabError
from sklab.models.receptive import effective, theoretical
from sklab.models.zoo import build
from sklab.spec.analysis import FIELD_IMAGES, Analysis, ReceptiveField, Unit, UnitAnalysis
from sklab.spec.data import DataSpec, data_spec
from sklab.spec.model import ModelSpec
from sklab.spec.run import Experiment
from sklab.spec.train import TrainSpec
from sklab.spec.values import fault_of
from sklab.store.files import sealed, write_whole
from sklab.store.run_folder import RunFolder
from sklab.training.attention.recorder import Recorder
from sklab.training.attention.summary import (
    chosen_images,
    known_scale,
    moments,
    receptive_field,
    rounded,
    sample,
    slopes,
    table,
)
from sklab.training.evaluate import complete_record, compute_as, ensure_trained_on, kept_network
from sklab.training.recipe import autocast

_STAGE = re.compile(r"SK_(\d+)_\d+")
_SAMPLES = 2
_AT_ONCE = 8  # images that gradients are kept of at a time


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
    if found and found.enlargements == tuple(scales) and _is_of(found, experiment.data):
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
        fingerprint=loaders.facts.fingerprint,
        images=len(loaders.val_labels),
        enlargements=tuple(scales),
        classes=loaders.classes,
        **_attention(network, loaders, experiment.train, scales, device),
        fields=_fields(network, loaders, experiment.model),
        field_images=min(FIELD_IMAGES, len(loaders.val_labels)),
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
    for number, (cell, run) in enumerate(planned, start=1):
        state = "ok"
        try:
            found[cell].append(analyze(run, data, scales, device_type))
        except FaultyInputError:
            raise
        except SklabError as error:
            state = str(error)
        say(f"[{number}/{len(planned)}] {cell}: {state}")
    if not any(found.values()):
        raise SklabError("no run could be analysed")
    return found


def on_data(experiment: Experiment, data: Mapping[str, Any]) -> Experiment:
    """`experiment` with settings of its data set replaced. Raises SklabError for settings that can't be."""
    own = {} if "name" in data else experiment.data.model_dump()
    try:
        return Experiment.model_validate({**experiment.model_dump(), "data": {**own, **data}})
    except ValidationError as error:
        name = data.get("name", experiment.data.name)
        faults = [
            fault_of(detail, "--data", "data", lambda _: data_spec(name).model_fields) for detail in error.errors()
        ]
        raise FaultyInputError(faults) from None


def _is_of(found: Analysis, data: DataSpec) -> bool:
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


def stage_ends(network: nn.Module) -> dict[str, str]:
    """The last unit of each stage and its path, where units are called `SK_<stage>_<unit>`."""
    units = {path.rpartition(".")[2]: path for path, _ in network.named_modules()}
    last = {match[1]: name for name in units if (match := _STAGE.fullmatch(name))}
    return {name: units[name] for name in last.values()}


def low_middle_high(units: Sequence[str]) -> tuple[str, ...]:
    """The last unit of the first, the middle and the last stage: SK_2_3, SK_3_4 and SK_5_3 in SKNet-50.

    If the names show fewer than three stages: the first, the middle and the last unit.
    """
    stages = {match[1]: unit for unit in units if (match := _STAGE.search(unit))}
    ends = list(stages.values()) if len(stages) >= 3 else list(units)
    return tuple(dict.fromkeys(ends[at] for at in (0, (len(ends) - 1) // 2, -1))) if ends else ()


def enlarged(images: Tensor, scale: float) -> Tensor:
    """The centre 1 / `scale` of each side of images [N, C, H, W], resized back (bilinear), in the same strides."""
    if scale == 1:
        return images
    shrink = torch.tensor([[1 / scale, 0, 0], [0, 1 / scale, 0]], dtype=images.dtype, device=images.device)
    places = F.affine_grid(shrink.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return torch.empty_like(images).copy_(F.grid_sample(images, places, padding_mode="border", align_corners=False))


def _attention(
    network: nn.Module, loaders: Loaders, recipe: TrainSpec, scales: Sequence[float], device: torch.device
) -> dict[str, Any]:
    """The fields of `Analysis` about attention."""
    places = chosen_images(len(loaders.val_labels), None, _SAMPLES + 2)[1:-1]
    passes = [Recorder(network, places) for _ in scales]
    units = passes[0].units
    chosen = low_middle_high([unit.name for unit in units])
    for recorder, scale in zip(passes, scales, strict=True) if units else ():
        _see(recorder, network, loaders, scale, autocast(recipe, device))
    return {
        "chosen": chosen,
        "units": tuple(_unit(unit, passes, loaders, with_classes=unit.name in chosen) for unit in units),
        "samples": tuple(_samples(passes, scales, loaders, chosen)) if units else (),
    }


def _see(
    recorder: Recorder,
    network: nn.Module,
    loaders: Loaders,
    scale: float,
    precision: torch.autocast,
) -> None:
    with recorder, torch.inference_mode(), precision:
        for images, _ in loaders.val:
            network(enlarged(images, scale))


def _unit(unit: Unit, passes: Sequence[Recorder], loaders: Loaders, *, with_classes: bool) -> UnitAnalysis:
    labels, classes = loaders.val_labels, len(loaders.classes)
    means = [recorder.means(unit.name) for recorder in passes]
    overall = [moments(each, np.zeros_like(labels), 1) for each in means]
    by_class = tuple(table(moments(each, labels, classes)[0].T) for each in means) if with_classes else ()
    return UnitAnalysis(
        **unit.model_dump(),
        mean=tuple(tuple(rounded(mean[0])) for mean, _ in overall),
        spread=tuple(tuple(rounded(spread[0])) for _, spread in overall),
        by_class=by_class,
        slope=slopes(means[0], known_scale(loaders)),
    )


def _samples(passes: Sequence[Recorder], scales: Sequence[float], loaders: Loaders, chosen: Sequence[str]) -> Any:
    for place in passes[0].samples:
        for at in dict.fromkeys((0, len(scales) // 2, len(scales) - 1)):
            yield sample(place, loaders.val_labels, known_scale(loaders), chosen, passes[at].weights, scales[at])


def _fields(network: nn.Module, loaders: Loaders, model: ModelSpec) -> tuple[ReceptiveField, ...]:
    stages = stage_ends(network)
    images = _first_images(loaders)
    with torch.device("meta"):
        shape = build(model).eval()
        image = torch.empty(1, *images[0].shape)
    sides = theoretical(shape, image, stages)
    network.requires_grad_(False)
    parts = [effective(network, part, stages) for part in torch.split(images, _AT_ONCE)]
    sums = {stage: torch.stack([part[stage] for part in parts]).double().sum(0).cpu().numpy() for stage in stages}
    return tuple(receptive_field(stage, sides[stage], gradient) for stage, gradient in sums.items())


def _first_images(loaders: Loaders) -> Tensor:
    """The first `FIELD_IMAGES` of the validation images, or what there is."""
    batches, images = iter(loaders.val), 0
    chosen = []
    while images < min(FIELD_IMAGES, len(loaders.val_labels)):
        chosen.append(next(batches)[0])
        images += len(chosen[-1])
    return torch.cat(chosen)[:FIELD_IMAGES]
