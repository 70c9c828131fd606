"""Handwritten digits of random size among pieces of other digits, on a 32x32 canvas.

Made from the 1,797 UCI handwritten digits (8x8, 17 grey levels) that come with scikit-learn. The source images
are split before anything is drawn, and a canvas holds pieces of its own split only, so no stroke of a
validation or test image appears in training. Every number comes from raw PCG64 draws and elementwise float64
arithmetic, one IEEE operation at a time (no BLAS, no fused multiply-add): all machines draw the same bytes.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sklab.data import pools
from sklab.data.base import ArraySplit, Splits, ThirdSplit
from sklab.data.pools import Floats, Ints, Seeded, below, between, stream
from sklab.spec import limits
from sklab.spec.data import Images

SIZE = 32  # side of the canvas, pixels
SIDE = 8  # side of a source image
PIECE = 4  # side of a piece of clutter, in source pixels
PIECES = 4  # per canvas
SCALES = (1.0, 3.0)  # canvas pixels per source pixel
INK = (0.5, 1.0)  # brightness of the digit's darkest stroke, of 1
CLUTTER_INK = (0.2, 0.6)
EVERY = 4  # one source image in four, of each class, is for validation, and another one for the test
CHUNK = 128  # canvases drawn at a time: they stay in the processor's cache
_SPLIT, _TRAIN, _VAL, _TEST = range(4)  # independent random streams of one seed


class Spec(Seeded):
    """Settings of the set.

    seed                  decides the split and every drawing; a run's own seed does only where `vary` has `split`
    train_size, val_size  number of images; the first n of a larger set are the set of n
    test                  number of images of the third split; their sources are taken from training (`null`: none)
    version               sklab raises it when the drawing changes, so that no old run is taken for a new one
    """

    # Of the pixels of 100,000 training canvases (seed 0), divided by 255.
    mean: ClassVar[tuple[float, ...]] = (0.0924,)
    std: ClassVar[tuple[float, ...]] = (0.1727,)
    added: ClassVar[frozenset[str]] = frozenset({"test"})

    name: Literal["scaled_digits"] = "scaled_digits"
    num_classes: Literal[10] = 10
    channels: Literal[1] = 1
    image_size: Literal[32] = 32
    version: Literal[1] = 1
    seed: int = Field(default=0, ge=0, lt=2**63)
    train_size: int = Field(default=6000, ge=10, le=limits.IMAGES)
    val_size: int = Field(default=2000, ge=10, le=limits.IMAGES)
    test: int | None = Field(default=None, ge=10, le=limits.IMAGES)

    @property
    def images(self) -> Images:
        """The numbers of canvases in the settings."""
        return Images(self.train_size, self.val_size, arrays=True)


def load(spec: Spec) -> Splits:
    """Draw train and val. `extras`: `scale` (canvas pixels per source pixel) and `source` (number of the UCI image)."""
    images, labels, classes = _digits()
    train, val, _ = split_sources(labels, spec.seed, test=spec.has_test)
    return Splits(
        train=_draw(images, labels, train, spec.train_size, stream(spec.seed, _TRAIN)),
        val=_draw(images, labels, val, spec.val_size, stream(spec.seed, _VAL)),
        classes=classes,
    )


def load_test(spec: Spec) -> ThirdSplit:
    """Draw the third split."""
    images, labels, classes = _digits()
    _, _, pool = split_sources(labels, spec.seed, test=True)
    return ThirdSplit(_draw(images, labels, pool, spec.test or 0, stream(spec.seed, _TEST)), classes)


def _digits() -> tuple[Floats, Ints, tuple[str, ...]]:
    from sklearn.datasets import load_digits  # slow to import, and not needed once the set is cached

    digits: Any = load_digits()
    return digits.images / 16.0, digits.target.astype(np.int64), tuple(str(digit) for digit in digits.target_names)


def split_sources(labels: Ints, seed: int, *, test: bool = False) -> tuple[Ints, ...]:
    """Numbers of the source images of train, val and, if asked for, test (see `pools.split_sources`)."""
    return pools.split_sources(labels, stream(seed, _SPLIT), EVERY, test=test)


def _draw(images: Floats, labels: Ints, pool: Ints, size: int, random: np.random.Generator) -> ArraySplit:
    """`size` canvases of the source images `pool`, each image in turn."""
    draws = random.random((size, 4 + 7 * PIECES))  # a row per canvas, so that a larger set begins with a smaller one
    turn = np.arange(size) % len(pool)
    canvases = [
        _canvases(images[pool], turn[start : start + CHUNK], draws[start : start + CHUNK])
        for start in range(0, size, CHUNK)
    ]
    sources = pool[turn]
    extras = {"scale": between(SCALES, draws[:, 0]), "source": sources}
    return ArraySplit(
        images=np.concatenate(canvases)[:, None],
        labels=labels[sources],
        extras={name: values.astype(np.float32) for name, values in extras.items()},
    )


def _canvases(pool: Floats, turn: Ints, draws: Floats) -> NDArray[np.uint8]:
    """uint8 [n, SIZE, SIZE]: digit `turn[i]` of the pool over its clutter; the brighter of the two is visible."""
    scale = between(SCALES, draws[:, 0])
    edge = scale / 2  # strokes fade out over half a source pixel: this keeps the whole digit on the canvas
    left, top = (edge + draw * (SIZE - SIDE * scale - 2 * edge) for draw in (draws[:, 1], draws[:, 2]))
    canvas = _scaled(pool[turn], left, top, scale) * between(INK, draws[:, 3])[:, None, None]
    for piece in np.split(draws[:, 4:], PIECES, axis=1):
        canvas = np.maximum(canvas, _clutter(pool, turn, piece))
    return np.floor(canvas * 255 + 0.5).astype(np.uint8)


def _clutter(pool: Floats, turn: Ints, draws: Floats) -> Floats:
    """A piece of another digit of the pool on each canvas, its centre anywhere."""
    other = (turn + 1 + below(len(pool) - 1, draws[:, 0])) % len(pool)
    row, column = (below(SIDE - PIECE + 1, draw)[:, None] + np.arange(PIECE) for draw in (draws[:, 1], draws[:, 2]))
    pieces = pool[other[:, None, None], row[:, :, None], column[:, None, :]]
    scale = between(SCALES, draws[:, 3])
    left, top = (draw * SIZE - PIECE / 2 * scale for draw in (draws[:, 4], draws[:, 5]))
    return _scaled(pieces, left, top, scale) * between(CLUTTER_INK, draws[:, 6])[:, None, None]


def _scaled(patches: Floats, left: Floats, top: Floats, scale: Floats) -> Floats:
    """[n, SIZE, SIZE]: `patches` [n, side, side] enlarged bilinearly, zeros around them."""
    taps = range(patches.shape[1])
    across, down = (_weights(offset, scale, len(taps)) for offset in (left, top))
    rows: Floats = np.zeros((len(patches), SIZE, len(taps)))
    canvas: Floats = np.zeros((len(patches), SIZE, SIZE))
    for tap in taps:
        rows += down[tap][:, :, None] * patches[:, tap, None, :]
    for tap in taps:
        canvas += rows[:, :, tap, None] * across[tap][:, None, :]
    return canvas


def _weights(offset: Floats, scale: Floats, taps: int) -> Floats:
    """[taps, n, SIZE]: what each source pixel adds to each canvas pixel along one axis."""
    place = (np.arange(SIZE) + 0.5 - offset[:, None]) / scale[:, None] - 0.5  # of a canvas pixel among source pixels
    distance: Floats = np.abs(place - np.arange(taps)[:, None, None])
    return np.maximum(1 - distance, 0)
