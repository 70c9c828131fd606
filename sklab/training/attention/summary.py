"""From single images to the numbers of a record: attention, and maps of gradients as receptive fields.

Arrays are float64; M branches, N images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklab.data.loaders import Loaders
from sklab.spec.analysis import THRESHOLD, AttentionSummary, ReceptiveField, Sample, Unit, UnitSummary

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS = 5  # of object scale
_DIGITS = 6
_MAP_DIGITS = 3
_SIDE = 32  # of the map that is kept, at most


def summarise(
    key: str,
    units: Iterable[Unit],
    means: Callable[[str], Floats],
    weights: Callable[[str, int], Floats],
    samples: Sequence[int],
    loaders: Loaders,
) -> AttentionSummary:
    """The record of a final evaluation: `means` [N, M] by unit, `weights` [M, C] by unit and sample."""
    labels, scale = loaders.val_labels, known_scale(loaders)
    edges, bins = scale_bins(scale)
    shape = (len(loaders.classes), max(len(edges) - 1, 1))
    place = labels * shape[1] + bins
    counts = np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape)
    names = [unit.name for unit in units]
    return AttentionSummary(
        key=key,
        images=len(labels),
        classes=loaders.classes,
        scale_edges=tuple(rounded(edges)),
        counts=tuple(tuple(row) for row in counts.tolist()),
        units=tuple(_unit(unit, means(unit.name), place, shape, scale) for unit in units),
        samples=tuple(sample(at, labels, scale, names, weights) for at in samples),
    )


def _unit(unit: Unit, means: Floats, place: Ints, shape: tuple[int, int], scale: Floats | None) -> UnitSummary:
    mean, spread = moments(means, place, shape[0] * shape[1])
    return UnitSummary(
        **unit.model_dump(),
        mean=tuple(table(branch.reshape(shape)) for branch in mean.T),
        spread=tuple(table(branch.reshape(shape)) for branch in spread.T),
        slope=slopes(means, scale),
    )


def moments(values: Floats, place: Ints, groups: int) -> tuple[Floats, Floats]:
    """Mean and standard deviation (divisor n) of `values` [N, M] in each group: both [groups, M].

    `place` [N] says which group an image is in. NaN where a group is empty.
    """
    counts = np.bincount(place, minlength=groups)[:, None]
    with np.errstate(invalid="ignore"):
        mean = _sums(values, place, groups) / counts
        squares = _sums((values - mean[place]) ** 2, place, groups) / counts
    return mean, np.sqrt(squares)


def _sums(values: Floats, place: Ints, groups: int) -> Floats:
    return np.stack([np.bincount(place, column, groups) for column in values.T], axis=1)


def slopes(values: Floats, scale: Floats | None) -> tuple[float, ...]:
    """[M]: least-squares slope of each column of `values` [N, M] against `scale` [N]; nothing where none is known."""
    if scale is None or np.ptp(scale) == 0:
        return ()
    centred = scale - scale.mean()
    return tuple(rounded(centred @ (values - values.mean(0)) / (centred @ centred)))


def known_scale(loaders: Loaders) -> Floats | None:
    """[N]: the scale of the object in each validation image, where the data set says it."""
    scale = loaders.val_extras.get("scale")
    return None if scale is None else scale.astype(np.float64)


def scale_bins(scale: Floats | None) -> tuple[Floats, Ints | int]:
    """The edges of equally wide bins, and the bin of each image; no edges, and bin 0, where no scale is known."""
    if scale is None or np.ptp(scale) == 0:
        return np.zeros(0), 0
    edges = np.linspace(scale.min(), scale.max(), BINS + 1)
    return edges, np.digitize(scale, edges[1:-1])


def chosen_images(images: int, scale: NDArray[np.float32] | None, count: int) -> tuple[int, ...]:
    """Places of `count` images, from the first to the last; from the smallest object to the largest with `scale`."""
    order = np.arange(images) if scale is None else np.argsort(scale, kind="stable")
    return tuple(int(place) for place in dict.fromkeys(order[np.linspace(0, images - 1, count).astype(int)].tolist()))


def sample(
    place: int,
    labels: Ints,
    scale: Floats | None,
    units: Iterable[str],
    weights: Callable[[str, int], Floats],
    enlargement: float = 1.0,
) -> Sample:
    """The record of one image, from its attention [M, C] by unit."""
    return Sample(
        image=place,
        label=int(labels[place]),
        scale=None if scale is None else rounded([scale[place]])[0],
        enlargement=enlargement,
        weights={unit: tuple(tuple(rounded(row)) for row in weights(unit, place)) for unit in units},
    )


def table(values: Floats) -> tuple[tuple[float | None, ...], ...]:
    """Rows of `values` as they stand in a record: rounded, and None for what is no number."""
    return tuple(tuple(None if np.isnan(value) else value for value in rounded(row)) for row in values)


def rounded(values: Iterable[float]) -> list[float]:
    """At six significant digits."""
    return [float(f"{value:.{_DIGITS}g}") for value in values]


def receptive_field(stage: str, theoretical: int, gradient: Floats) -> ReceptiveField:
    """The field of which `gradient` [H, W] is the map, at any scale; all zeros make an empty one."""
    share = gradient / gradient.max() if gradient.max() > 0 else gradient
    inside = share > THRESHOLD
    minor, major = _widths(share)
    return ReceptiveField(
        stage=stage,
        theoretical=theoretical,
        area=int(inside.sum()),
        height=_extent(inside.any(axis=1)),
        width=_extent(inside.any(axis=0)),
        major=major,
        minor=minor,
        map=tuple(tuple(float(f"{value:.{_MAP_DIGITS}g}") for value in row) for row in _coarse(share)),
    )


def _extent(inside: Any) -> int:
    places = np.flatnonzero(inside)
    return int(places[-1] - places[0] + 1) if len(places) else 0


def _widths(share: Floats) -> list[float]:
    """Standard deviations along the principal axes, the smaller first, with `share` [H, W] as weights of the pixels."""
    if not share.any():
        return [0.0, 0.0]
    pixels = np.indices(share.shape).reshape(2, -1).astype(np.float64)
    covariance = np.atleast_2d(np.cov(pixels, aweights=share.ravel(), ddof=0))
    return rounded(np.sqrt(np.maximum(np.linalg.eigvalsh(covariance), 0)))


def _coarse(share: Floats) -> Floats:
    """`share` averaged over blocks of equal size, so that at most `_SIDE` rows and columns are left."""
    block = -(-max(share.shape) // _SIDE)
    height, width = (side // block * block for side in share.shape)
    blocks = share[:height, :width].reshape(height // block, block, width // block, block)
    return np.asarray(blocks.mean((1, 3)))
