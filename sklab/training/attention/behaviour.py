"""What a trained network does: attention on enlarged objects, and the receptive field of every stage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklab.data.loaders import Loaders
from sklab.models.receptive import effective, theoretical
from sklab.models.zoo import build
from sklab.spec.analysis import FIELD_IMAGES, ReceptiveField, Unit, UnitAnalysis
from sklab.spec.model import ModelSpec
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

_STAGE = re.compile(r"SK_(\d+)_\d+")
_SAMPLES = 2
_AT_ONCE = 8  # images that gradients are kept of at a time


def behaviour(
    network: nn.Module, model: ModelSpec, loaders: Loaders, precision: torch.autocast, scales: Sequence[float]
) -> dict[str, Any]:
    """The fields of `Analysis` about images, attention and receptive fields. `network`, in eval mode, is that of
    `model`, on the device of `loaders`; afterwards its weights want no gradients."""
    images = len(loaders.val_labels)
    return {
        "fingerprint": loaders.facts.fingerprint,
        "images": images,
        "enlargements": tuple(scales),
        "classes": loaders.classes,
        **_attention(network, loaders, precision, scales),
        "fields": _fields(network, loaders, model),
        "field_images": min(FIELD_IMAGES, images),
    }


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
    network: nn.Module, loaders: Loaders, precision: torch.autocast, scales: Sequence[float]
) -> dict[str, Any]:
    places = chosen_images(len(loaders.val_labels), None, _SAMPLES + 2)[1:-1]
    passes = [Recorder(network, places) for _ in scales]
    units = passes[0].units
    chosen = low_middle_high([unit.name for unit in units])
    for recorder, scale in zip(passes, scales, strict=True) if units else ():
        _see(recorder, network, loaders, scale, precision)
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
