"""Patches of ten photographs, cut at a known size: which photograph is a patch from?

The photographs come inside scikit-image's package. Each is divided into cells, and a patch lies within one of them:
those of training, validation and test share no pixel. Every number comes from raw PCG64 draws and elementwise float64
arithmetic, one IEEE operation at a time, on files that are taken only with the bytes they had when this set was made.
They are PNG, which has one decoding. So all machines draw the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from sklab.data.base import ArraySplit, Splits, ThirdSplit
from sklab.data.packaged import read_packaged
from sklab.data.pools import Floats, Ints, Seeded, below, between, split_sources, stream
from sklab.spec import limits
from sklab.spec.data import Images
from sklab.spec.values import ensure_no_broken_rule

Pixels = NDArray[np.uint8]

# Files in scikit-image's folder `data`, and their SHA-256. They are in the public domain or CC0, but for coins and ihc
# ("no known copyright restrictions") and motorcycle_left (Middlebury stereo benchmark 2014, Scharstein et al.).
PHOTOS = {
    "astronaut": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    "brick": "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
    "camera": "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
    "chelsea": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    "coffee": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    "coins": "f8d773fc9cfa6f4d8e5942dc34d0a0788fcaed2a4fefbbed0aef5398d7ef4cba",
    "grass": "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
    "gravel": "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
    "ihc": "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
    "motorcycle_left": "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
}
CELL = 128  # least side of a cell, in pixels of the photograph
MARGIN = 4  # pixels along the border of a cell that are in no patch
WIDEST = 96  # side of the part of a photograph that a patch of scale 1 shows, in its pixels
SCALES = (1.0, 3.0)
PLACES = 4  # drawn for a patch; it is cut where pixels vary most, as many a place shows nothing (sky, a wall)
LEVEL = (0.35, 0.65)  # mean of each channel of a patch, of 1
CONTRAST = (0.6, 1.2)  # of the photograph's
CLASSES = tuple(name.partition("_")[0] for name in PHOTOS)
EVERY = 4  # one cell in four of each photograph is for validation, and another one for the test
SMALLEST, LARGEST = 16, 256  # pixels of a side
MOST_BYTES = 2**33  # of all patches
_SPLIT, _TRAIN, _VAL, _TEST = range(4)  # independent random streams of one seed
_FINE = 256  # steps of a grey level, for sums that are exact


class Spec(Seeded):
    """Settings of the set.

    seed                  decides the split and every drawing; a run's own seed does only where `vary` has `split`
    image_size            pixels a side; the parts of the photographs that are shown do not depend on it
    train_size, val_size  number of patches; the first n of a larger set are the set of n
    test                  number of patches of the third split; they show places that are taken from training (`null`:
                          none)
    version               sklab raises it when the drawing changes, so that no old run is taken for a new one
    """

    # Those of ImageNet's training pixels: trained networks expect them, and a patch's mean is drawn anyway.
    mean: ClassVar[tuple[float, ...]] = (0.485, 0.456, 0.406)
    std: ClassVar[tuple[float, ...]] = (0.229, 0.224, 0.225)

    name: Literal["photo_patches"] = "photo_patches"
    num_classes: Literal[10] = 10
    channels: Literal[3] = 3
    image_size: int = Field(default=32, ge=SMALLEST, le=LARGEST)
    version: Literal[1] = 1
    seed: int = Field(default=0, ge=0, lt=2**63)
    train_size: int = Field(default=6000, ge=10, le=limits.IMAGES)
    val_size: int = Field(default=2000, ge=10, le=limits.IMAGES)
    test: int | None = Field(default=None, ge=10, le=limits.IMAGES)

    def at(self, size: int) -> dict[str, int]:
        """The same parts of the photographs, at another size."""
        return {"image_size": size}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        patches = self.train_size + self.val_size + (self.test or 0)
        if patches * self.channels * self.image_size**2 > MOST_BYTES:
            most = MOST_BYTES // (self.channels * self.image_size**2)
            size = f"{self.image_size}x{self.image_size} pixels"
            ensure_no_broken_rule([f"{patches:,} patches of {size} are too many; allowed: {most:,} in all splits"])
        return self

    @property
    def images(self) -> Images:
        """The numbers of patches in the settings."""
        return Images(self.train_size, self.val_size, arrays=True)


class Cells(NamedTuple):
    """The cells of all photographs: their pixels, each uint8 [H, W, 3], and the photographs they are of, int64 [n]."""

    pixels: Sequence[Pixels]
    labels: Ints


def load(spec: Spec) -> Splits:
    """Draw train and val. `extras`: `scale` (how many times larger things are than in a patch that shows most) and
    `source` (number of the cell). Raises SklabError if a photograph is missing or is another one."""
    cells = divided([_photo(name) for name in PHOTOS])
    train, val, _ = split_sources(cells.labels, stream(spec.seed, _SPLIT), EVERY, test=spec.has_test)
    return Splits(
        train=draw(cells, train, spec.train_size, spec.image_size, stream(spec.seed, _TRAIN)),
        val=draw(cells, val, spec.val_size, spec.image_size, stream(spec.seed, _VAL)),
        classes=CLASSES,
    )


def load_test(spec: Spec) -> ThirdSplit:
    """Draw the third split. Raises SklabError as `load` does."""
    cells = divided([_photo(name) for name in PHOTOS])
    _, _, pool = split_sources(cells.labels, stream(spec.seed, _SPLIT), EVERY, test=True)
    drawn = draw(cells, pool, spec.test or 0, spec.image_size, stream(spec.seed, _TEST))
    return ThirdSplit(drawn, CLASSES)


def _photo(name: str) -> Pixels:
    """uint8 [H, W, 3]; a grey photograph has three equal channels."""
    from PIL import Image

    data = read_packaged("photo_patches", "skimage", f"data/{name}.png", PHOTOS[name])
    photo: Pixels = np.asarray(Image.open(BytesIO(data), formats=("PNG",)).convert("RGB"))
    return photo


def divided(photos: Sequence[Pixels]) -> Cells:
    """The cells of `photos`, as many as fit with sides of at least CELL, without their margins."""
    pixels, labels = [], []
    for label, photo in enumerate(photos):
        for rows in np.array_split(np.arange(photo.shape[0]), photo.shape[0] // CELL):
            for columns in np.array_split(np.arange(photo.shape[1]), photo.shape[1] // CELL):
                pixels.append(photo[_inside(rows), _inside(columns)])
                labels.append(label)
    return Cells(pixels, np.array(labels))


def _inside(places: Ints) -> slice:
    return slice(int(places[0]) + MARGIN, int(places[-1]) + 1 - MARGIN)


def draw(cells: Cells, pool: Ints, size: int, side: int, random: np.random.Generator) -> ArraySplit:
    """`size` patches of `side` x `side` pixels from the cells `pool`: each photograph in turn, of it each cell."""
    draws = random.random((size, 3 + 2 * PLACES))  # a row per patch, so that a larger set begins with a smaller one
    by_class = [pool[cells.labels[pool] == label] for label in np.unique(cells.labels)]
    chosen = (by_class[at % len(by_class)] for at in range(size))
    sources = np.array([own[at // len(by_class) % len(own)] for at, own in enumerate(chosen)])
    shown = np.floor(WIDEST / between(SCALES, draws[:, 0]) + 0.5).astype(np.int64)
    images = np.empty((size, 3, side, side), dtype=np.uint8)
    for at, (source, part, row) in enumerate(zip(sources, shown, draws, strict=True)):
        images[at] = _patch(cells.pixels[source], int(part), row[1:], side)
    extras = {"scale": (WIDEST / shown).astype(np.float32), "source": sources.astype(np.float32)}
    return ArraySplit(images, cells.labels[sources], extras)


def _patch(cell: Pixels, part: int, draws: Floats, side: int) -> Pixels:
    """uint8 [3, side, side]: a part of the cell, `part` of its pixels a side."""
    pixels = max((_cut(cell, part, place) for place in draws[2:].reshape(PLACES, 2)), key=_variation)
    resized = _resized(_resized(pixels.astype(np.float64), side).swapaxes(1, 2), side).swapaxes(1, 2)
    # Means of whole numbers, which are exact in any order.
    mean = np.floor(resized * _FINE + 0.5).astype(np.int64).sum(axis=(1, 2)) / (_FINE * side * side)
    toned = between(CONTRAST, draws[0]) * (resized - mean[:, None, None]) + 255 * between(LEVEL, draws[1])
    patch: Pixels = np.floor(np.clip(toned, 0, 255) + 0.5).astype(np.uint8)
    return patch


def _cut(cell: Pixels, part: int, draws: Floats) -> Ints:
    """[3, part, part]: the pixels at a place of the cell."""
    top, left = (int(below(whole - part + 1, draw)) for whole, draw in zip(cell.shape[:2], draws, strict=True))
    return cell[top : top + part, left : left + part].transpose(2, 0, 1).astype(np.int64)


def _variation(pixels: Ints) -> int:
    """The variance of the pixels in each channel, summed and multiplied by their number squared: a whole number."""
    count = pixels[0].size
    return int(count * (pixels * pixels).sum() - (pixels.sum(axis=(1, 2)) ** 2).sum())


def _resized(pixels: Floats, side: int) -> Floats:
    """[C, side, W]: `pixels` [C, H, W] averaged over windows of H / side rows, or of one row where that is more (which
    is linear interpolation)."""
    pixels, rows = np.ascontiguousarray(pixels), pixels.shape[1]  # so that taking rows is fast
    step = rows / side
    middle, half = (np.arange(side) + 0.5) * step, max(step, 1.0) / 2
    first, last = np.maximum(middle - half, 0), np.minimum(middle + half, rows)
    total = np.concatenate([np.zeros_like(pixels[:, :1]), pixels.cumsum(axis=1)], axis=1)
    sums = _summed(total, pixels, last) - _summed(total, pixels, first)
    averages: Floats = sums / (last - first)[:, None]
    return averages


def _summed(total: Floats, pixels: Floats, place: Floats) -> Floats:
    """[C, n, W]: the sum of the rows up to each `place`, of which the last row may be a part."""
    row = np.minimum(np.floor(place).astype(np.int64), pixels.shape[1] - 1)
    summed: Floats = total[:, row] + (place - row)[:, None] * pixels[:, row]
    return summed
