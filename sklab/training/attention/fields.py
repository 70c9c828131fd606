"""A map of gradients as the record of a receptive field."""

from __future__ import annotations

from typing import Any

import numpy as np

from sklab.spec.analysis import THRESHOLD, ReceptiveField
from sklab.training.attention.summary import Floats, rounded

_SIDE = 32  # of the map that is kept, at most
_DIGITS = 3


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
        map=tuple(tuple(float(f"{value:.{_DIGITS}g}") for value in row) for row in _coarse(share)),
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
