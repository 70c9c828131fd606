"""How many seeds the cells of a study get, and how many more its baseline."""

from __future__ import annotations

import math
from itertools import count, islice
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from sklab.spec.run import Seed
from sklab.spec.values import Seq, Value

MOST_SEEDS = 1000
AUTO = "auto"
_SEEDS = f"a list of seeds, or how many of them (1 to {MOST_SEEDS})"


class Seeds(Value):
    """The seeds of every cell, and how many the baseline has.

    others    the seeds of every cell; a number `n` means 0 to n - 1
    baseline  how many seeds the baseline has (`null`: as many as the others); `auto`: that of the others times the
              square root of the number of comparisons with the baseline

    For a given number of runs, `auto` is the share at which the differences from the baseline are known best. Source:
    C. W. Dunnett, A multiple comparison procedure for comparing several treatments with a control, JASA 50 (1955).
    """

    others: Seq[Seed] = Field(min_length=1, max_length=MOST_SEEDS, description=_SEEDS)
    baseline: int | Literal["auto"] | None = None

    @field_validator("others")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed stands twice")
        return seeds

    @field_validator("baseline", mode="plain")
    @classmethod
    def _number(cls, seeds: Any) -> Any:
        if seeds != AUTO and not (type(seeds) is int and 1 <= seeds <= MOST_SEEDS):
            raise ValueError(f"neither a number of seeds (1 to {MOST_SEEDS}) nor {AUTO}")
        return seeds

    @model_validator(mode="after")
    def _no_fewer(self) -> Seeds:
        if isinstance(self.baseline, int) and self.baseline < len(self.others):
            raise ValueError(f"the baseline has fewer seeds than the others, which have {len(self.others)}")
        return self

    def of_baseline_alone(self, comparisons: int) -> tuple[int, ...]:
        """The seeds that the baseline has beyond those of the others: the smallest that they do not have."""
        auto = round(len(self.others) * math.sqrt(comparisons))
        number = auto if self.baseline == AUTO else int(self.baseline or 0)
        further = min(number, MOST_SEEDS) - len(self.others)
        return tuple(islice((seed for seed in count() if seed not in self.others), max(further, 0)))
