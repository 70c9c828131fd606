"""How a batch of images is mixed with itself, by mixup or CutMix. Every draw is a pure function of (seed, epoch, number
of the batch)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sklab.data.augment import CUTMIX, MIXUP, generator
from sklab.spec.train import TrainSpec

_CUT = 0.5  # of the batches, where a recipe has mixup too (timm's switch_prob)


class Mix(NamedTuple):
    """How a batch of B images is mixed with itself.

    kept      share of an image's own label; its partner's label has the rest
    box       where: top, left, bottom, right in pixels, without the last row and column
    share     of the partner in each pixel of the box; outside it is 0
    partners  int64 [B]: each image's partner in the batch
    """

    kept: float
    box: tuple[int, int, int, int]
    share: float
    partners: NDArray[np.int64]


def drawn_mix(recipe: TrainSpec, shape: tuple[int, int, int], place: tuple[int, int, int]) -> Mix | None:
    """How the batch at `place` (seed, epoch, number of the batch) is mixed; None where the recipe mixes nothing.

    shape  images, rows and columns of the batch
    """
    seed, epoch, batch = place
    if recipe.cutmix:
        random = generator(seed, epoch, CUTMIX, batch)
        if random.random() < _CUT or not recipe.mixup:  # drawn in any case: mixup does not move the boxes
            return _cutmix(recipe.cutmix, shape, random)
    if not recipe.mixup:
        return None
    kept, partners = mixup_draw(recipe.mixup, shape[0], *place)
    return Mix(kept, (0, 0, *shape[1:]), 1 - kept, partners)


def mixup_draw(alpha: float, size: int, seed: int, epoch: int, batch: int) -> tuple[float, NDArray[np.int64]]:
    """For batch number `batch` of the epoch: the share that the images keep, from Beta(alpha, alpha); and int64 [size],
    each image's partner in the batch."""
    random = generator(seed, epoch, MIXUP, batch)
    return float(random.beta(alpha, alpha)), _partners(size, random)


def _cutmix(alpha: float, shape: tuple[int, int, int], random: np.random.Generator) -> Mix:
    """A box of the area 1 - Beta(alpha, alpha) around a random pixel, as far as it lies in the image. Source: Yun et
    al., 2019, equations 1 and 2; the rounding is torchvision's."""
    size, height, width = shape
    half = math.sqrt(1 - random.beta(alpha, alpha)) / 2
    (top, bottom), (left, right) = (_side(half, length, random) for length in (height, width))
    kept = 1 - (bottom - top) * (right - left) / (height * width)
    return Mix(kept, (top, left, bottom, right), 1.0, _partners(size, random))


def _side(half: float, length: int, random: np.random.Generator) -> tuple[int, int]:
    """First and last edge of a box along one side of the image."""
    centre, reach = int(random.integers(length)), int(half * length)
    return max(centre - reach, 0), min(centre + reach, length)


def _partners(size: int, random: np.random.Generator) -> NDArray[np.int64]:
    return np.argsort(random.random(size), kind="stable")


def inside(boxes: Tensor, height: int, width: int) -> Tensor:
    """bool [..., height, width]: the pixels inside `boxes` int64 [..., 4] (top, left, bottom, right). Nothing waits for
    the device."""
    top, left, bottom, right = (edge[..., None] for edge in boxes.unbind(-1))
    rows, columns = (torch.arange(length, device=boxes.device) for length in (height, width))
    chosen_rows, chosen_columns = (rows >= top) & (rows < bottom), (columns >= left) & (columns < right)
    return chosen_rows[..., None] & chosen_columns[..., None, :]
