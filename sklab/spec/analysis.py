"""A run's measured attention and receptive fields as values: its `attention.json` and `analysis.json`.

The numbers are a branch's plain share of the attention. `sklab.analysis.attention.trends` computes the comparisons of
branches from them (difference between the large and the small kernel, expected kernel). Shares are rounded to six
significant digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import Field, model_validator

from sklab.spec.data import Fingerprint
from sklab.spec.own.parts import AnyData
from sklab.spec.values import Seq, Value

THRESHOLD = 1 - 0.9545  # of the largest gradient: above it is inside the effective receptive field (Luo et al., 2016)
FIELD_IMAGES = 64  # at most so many images are averaged for an effective receptive field


def _ensure_shape(name: str, entries: Sequence[Any], *shape: int) -> None:
    """Raise ValueError if nested `entries` do not have this shape: a file from elsewhere may contain anything."""
    if len(entries) != shape[0]:
        raise ValueError(f"{name}: {len(entries)} entries in the place of {shape[0]}")
    for entry in entries if shape[1:] else ():
        _ensure_shape(name, entry, *shape[1:])


class Unit(Value):
    """An SK convolution with attention, in forward order.

    name      such as `SK_2_3`; the convolution's path if a unit has several, or if the network names no units
    kernels   per branch, the side of its window: D (k - 1) + 1 pixels of the unit's input
    channels  C
    """

    name: str
    kernels: Seq[int]
    channels: int


class UnitSummary(Unit):
    """Attention of a unit in a run's final evaluation; a number per image is the mean over its channels.

    mean    `[branch][class][bin]` over images; None if there are no images
    spread  `[branch][class][bin]`: standard deviation over images (divisor n)
    slope   `[branch]`: least-squares slope against the objects' scale, over all images; empty if no scale is known
    """

    mean: Seq[Seq[Seq[float | None]]]
    spread: Seq[Seq[Seq[float | None]]]
    slope: Seq[float] = ()


class Sample(Value):
    """The attention for one validation image.

    image        its place in the validation set, from 0
    scale        the scale of its object, if the data set knows it
    enlargement  by which it was enlarged around its centre (1: not enlarged)
    weights      by unit, `[branch][channel]`
    """

    image: int = Field(ge=0)
    label: int = Field(ge=0)
    scale: float | None = None
    enlargement: float = 1.0
    weights: dict[str, Seq[Seq[float]]]


class AttentionSummary(Value):
    """`attention.json`: the attention of every SK unit in the final evaluation of the kept weights.

    scale_edges  edges of the bins of object scale, one more than bins. The bins are equally wide, from the smallest
                 object of the validation set to the largest; empty if no scale is known (then there is one bin)
    counts       `[class][bin]`: images
    samples      the images of the smallest, the median and the largest object; if no scale is known, the first, the
                 middle and the last image
    """

    key: str
    images: int
    classes: Seq[str]
    scale_edges: Seq[float] = ()
    counts: Seq[Seq[int]]
    units: Seq[UnitSummary]
    samples: Seq[Sample]

    @model_validator(mode="after")
    def _fits(self) -> AttentionSummary:
        classes, bins = len(self.classes), len(self.counts[0]) if self.counts else 0
        _ensure_shape("scale_edges", self.scale_edges, bins + 1 if self.scale_edges else 0)
        _ensure_shape("counts", self.counts, classes, bins)
        for unit in self.units:
            branches = len(unit.kernels)
            _ensure_shape(f"{unit.name}, mean", unit.mean, branches, classes, bins)
            _ensure_shape(f"{unit.name}, spread", unit.spread, branches, classes, bins)
            _ensure_shape(f"{unit.name}, slope", unit.slope, branches if unit.slope else 0)
        _ensure_samples(self.samples, self.units, classes)
        return self


def _ensure_samples(samples: Iterable[Sample], units: Iterable[Unit], classes: int) -> None:
    by_name = {unit.name: unit for unit in units}
    for sample in samples:
        if sample.label >= classes or not sample.weights.keys() <= by_name.keys():
            raise ValueError(f"sample of image {sample.image}: of a class or a unit that is not there")
        for name, weights in sample.weights.items():
            _ensure_shape(f"sample, {name}", weights, len(by_name[name].kernels), len(weights[0]) if weights else 0)


class UnitAnalysis(Unit):
    """Attention of a unit over the validation images, at several enlargements.

    mean, spread  `[enlargement][branch]`, over images as in UnitSummary
    by_class      `[enlargement][branch][class]`: means; None for a class without images. Empty for units not in
                  `Analysis.chosen`
    slope         `[branch]`: as in UnitSummary, for the images without enlargement
    """

    mean: Seq[Seq[float]]
    spread: Seq[Seq[float]]
    by_class: Seq[Seq[Seq[float | None]]] = ()
    slope: Seq[float] = ()


class ReceptiveField(Value):
    """A stage's effective receptive field: the averaged gradient of its centre by the input (Luo et al., NeurIPS 2016).

    The map is the mean over `Analysis.field_images` images of the absolute gradient of the channels' mean at the
    centre of the stage's output, summed over the colours, in float32. Pixels above `THRESHOLD` of its largest
    value are inside. The attention's own path, which sees the whole image, is part of the gradient.

    stage          the stage's last unit
    theoretical    side of the window that the convolutions and poolings allow, without attention's pooling; it may be
                   larger than the image
    area           pixels inside
    height, width  of the box around these pixels
    major, minor   standard deviations of the map along its principal axes, in pixels
    map            `[row][column]`, as shares of the largest value, averaged down to at most 32 x 32
    """

    stage: str
    theoretical: int
    area: int
    height: int
    width: int
    major: float
    minor: float
    map: Seq[Seq[float]]


class Analysis(Value):
    """`analysis.json`: what `sklab analyze` computes from the kept weights of a run, or from a file of weights.

    key           of the run; "" where a file of weights names none
    seed          of the run; None for a file of weights
    data          the analysed data, which may be more than the run was evaluated on
    fingerprint   of these data; None if their settings alone decide them
    enlargements  e: the centre 1 / e of each side is cut out of the network's input and resized back (bilinear)
    chosen        a low, a middle and a high unit: the last of the first, the middle and the last stage
    samples       two images at three enlargements, in the chosen units

    weights       SHA-256 of the weights' file; "" in older ones

    A network without SK attention has no units, but it has receptive fields.
    """

    key: str
    seed: int | None
    data: AnyData
    fingerprint: Fingerprint | None = None
    images: int
    enlargements: Seq[float]
    classes: Seq[str]
    chosen: Seq[str]
    units: Seq[UnitAnalysis]
    samples: Seq[Sample]
    fields: Seq[ReceptiveField]
    field_images: int
    device: str
    torch: str
    weights: str = ""

    @model_validator(mode="after")
    def _fits(self) -> Analysis:
        scales, classes = len(self.enlargements), len(self.classes)
        for unit in self.units:
            branches = len(unit.kernels)
            _ensure_shape(f"{unit.name}, mean", unit.mean, scales, branches)
            _ensure_shape(f"{unit.name}, spread", unit.spread, scales, branches)
            _ensure_shape(f"{unit.name}, slope", unit.slope, branches if unit.slope else 0)
            if unit.by_class:
                _ensure_shape(f"{unit.name}, by_class", unit.by_class, scales, branches, classes)
        _ensure_samples(self.samples, self.units, classes)
        for field in self.fields:
            _ensure_shape(f"{field.stage}, map", field.map, len(field.map), len(field.map[0]) if field.map else 0)
        return self
