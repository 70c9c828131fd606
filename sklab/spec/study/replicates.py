"""More seeds for those cells whose comparison with the baseline needs them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from sklab.spec import limits
from sklab.spec.values import Value

MOST_REPLICATES = 1000


class Replicates(Value):
    """Every cell has the seeds 0 to `start` - 1; cells in doubt, and the baseline, get more, `max` at most.

    stop   `resolved`: a cell gets no more seeds once its comparison is settled
    width  settled as equal, too, once the whole interval of the difference is no wider, in the unit of the metric
    runs   no further seed is begun that would make more runs than this in all
    """

    start: int = Field(ge=2, le=MOST_REPLICATES)
    max: int = Field(le=MOST_REPLICATES)
    stop: Literal["resolved"] = "resolved"
    width: float | None = Field(default=None, gt=0)
    runs: int | None = Field(default=None, ge=1, le=limits.RUNS)

    @model_validator(mode="after")
    def _grows(self) -> Replicates:
        if self.max <= self.start:
            raise ValueError("max must be larger than start; the same number for every cell is `seeds:`")
        return self

    def __str__(self) -> str:
        return f"{self.start} to {self.max} seeds as needed"
