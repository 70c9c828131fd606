"""Source images of a set that is drawn here: which of them are of which split, and the random streams of its seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from sklab.spec.data import DataSpec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Seeded(DataSpec):
    """Settings of a set that is drawn here: they alone decide every image, and `seed` the split and all drawings. A
    run's own seed decides these only where `vary` has `split`."""

    drawn: ClassVar[bool] = True
    if TYPE_CHECKING:
        seed: int  # each set says where it stands among its settings

    def why_one_split(self) -> Iterator[str]:
        """Nothing: the seed decides the split; but not where what is tested in one would be trained on in others."""
        if self.has_test:
            yield f"data set {self.name} has one split where data.test is set"

    def split_anew(self, number: int) -> Self:
        """The set of another seed: other sources in each split, and other drawings of them."""
        return self.model_copy(update={"seed": (self.seed + number) % 2**63})


def split_sources(labels: Ints, random: np.random.Generator, every: int, *, test: bool = False) -> tuple[Ints, ...]:
    """Numbers of the source images of train, val and, if asked for, test, each in random order. One in `every` of
    each class is for val, and another one for the test. Those of val are the same with and without test.

    labels  int64 [N], the classes of the source images
    """
    order = np.argsort(random.random(len(labels)), kind="stable")
    by_class = [order[labels[order] == label] for label in np.unique(labels)]
    in_val, in_test = (
        np.isin(order, np.concatenate([members[first::every] for members in by_class])) for first in (0, every // 2)
    )
    in_test &= test
    return order[~(in_val | in_test)], order[in_val], order[in_test]


def stream(seed: int, number: int) -> np.random.Generator:
    """The random stream `number` of a set's seed; they are independent of each other."""
    return np.random.Generator(np.random.PCG64([seed, number]))


def between(bounds: tuple[float, float], draw: Floats) -> Floats:
    """Where draws from 0 to 1 lie between the bounds."""
    return bounds[0] + draw * (bounds[1] - bounds[0])


def below(count: int, draw: Floats) -> Ints:
    """Draws from 0 to 1 as whole numbers below `count`."""
    return np.floor(draw * count).astype(np.int64)
