"""Which sources of chance vary with the seed of a run."""

from __future__ import annotations

from math import prod
from typing import Annotated, Any, NamedTuple

from pydantic import Field, model_validator

from sklab.spec import limits
from sklab.spec.values import Value

SOURCES = ("init", "order", "augment", "split")  # of chance
Fresh = Annotated[int, Field(ge=1, le=limits.FRESH)] | None


class Sources(NamedTuple):
    """The seeds of a run's initial weights, of the order of its images, and of their augmentation (with mixup and
    dropout), and the number of its split into training and validation images."""

    init: int
    order: int
    augment: int
    split: int


class Vary(Value):
    """Which sources of chance vary with the seed of a run, each with seeds of its own; the others are fixed.

    A source's number is that of its fresh seeds in a block of runs. A block crosses the seeds of all its sources, and
    the next block has others, so blocks are independent of each other. The seeds 0 to `block` - 1 are the first block.
    None: the source is the same in all runs. In a file, a list of sources gives each the number 1, so every run is a
    block.

    init     initial weights
    order    order of the training images
    augment  augmentation, with mixup and dropout
    split    which images are for training and which for validation
    """

    init: Fresh = None
    order: Fresh = None
    augment: Fresh = None
    split: Fresh = None

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, given: Any) -> Any:
        if not isinstance(given, list | tuple):
            return given
        if not all(name in SOURCES for name in given) or len(set(given)) < len(given):
            raise ValueError(f"a list of sources has each at most once; allowed: {', '.join(SOURCES)}")
        return dict.fromkeys(given, 1)

    @model_validator(mode="after")
    def _some(self) -> Vary:
        if not self.fresh:
            raise ValueError(f"at least one source varies; allowed: {', '.join(SOURCES)}")
        if self.block > limits.FRESH:
            raise ValueError(f"a block of {self.block} runs is too large; allowed: at most {limits.FRESH}")
        return self

    def __str__(self) -> str:
        if self.block == 1:
            return f"new in every run: {', '.join(self.fresh)}"
        return f"in blocks of {' × '.join(f'{number} {name}' for name, number in self.fresh.items())}"

    @property
    def fresh(self) -> dict[str, int]:
        """How many fresh seeds each of the sources that vary has in a block."""
        return {name: number for name in SOURCES if (number := getattr(self, name)) is not None}

    @property
    def block(self) -> int:
        """The number of runs of a block."""
        return prod(self.fresh.values())

    def sources(self, seed: int) -> Sources:
        """The sources of the run with this seed; those that do not vary are 0."""
        block, place = divmod(seed, self.block)
        drawn = dict.fromkeys(SOURCES, 0)
        for name, number in self.fresh.items():
            place, level = divmod(place, number)
            drawn[name] = block * number + level
        return Sources(**drawn)
