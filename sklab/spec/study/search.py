"""How a search design asks for cells: sampler, limits that are checked before training, objectives and pruning."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from sklab.spec import limits
from sklab.spec.run import Seed
from sklab.spec.study.budget import Cost, Kind
from sklab.spec.values import Seq, Value

_KINDS: tuple[Kind, ...] = ("params", "macs")
_NAMES: dict[Kind, str] = {"params": "parameters", "macs": "multiply-accumulates"}
_POWERS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
_COUNT = "a whole number above 0, or one with k, M or G: 28M is 28,000,000"


def _count(value: Any) -> int:
    """`28M` and 28000000 as a number."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?)([kMG]?)", str(value)) if type(value) in (int, str) else None
    count = round(float(match[1]) * _POWERS[match[2]]) if match else 0
    if count < 1:
        raise ValueError(f"must be {_COUNT}")
    return count


class Limit(Value):
    """What a cell may cost at most."""

    max: Annotated[int, BeforeValidator(_count)] = Field(description=_COUNT)


class Constraints(Value):
    """Limits on what a cell's network costs, counted before it is trained. One of the two is stated."""

    params: Limit | None = Field(default=None, description="a mapping with max")
    macs: Limit | None = Field(default=None, description="a mapping with max")

    @model_validator(mode="after")
    def _limits(self) -> Constraints:
        if self.params is None and self.macs is None:
            raise ValueError("states params, macs or both, else it limits nothing")
        return self

    def excess(self, cost: Cost) -> dict[str, float]:
        """By constraint, how far `cost` is beyond the limit, as a share of it; at most 0 where it is kept."""
        return {kind: getattr(cost, kind) / limit - 1 for kind, limit in self._each()}

    def broken(self, cost: Cost) -> str:
        """Which limits `cost` does not keep; "" when it keeps all."""
        return "; ".join(
            f"{getattr(cost, kind):,} {_NAMES[kind]}, at most {limit:,} allowed"
            for kind, limit in self._each()
            if getattr(cost, kind) > limit
        )

    def _each(self) -> Iterator[tuple[Kind, int]]:
        limits = ((kind, getattr(self, kind)) for kind in _KINDS)
        return ((kind, limit.max) for kind, limit in limits if limit is not None)


class Pruning(Value):
    """When runs that look worse than others at the same epoch are ended.

    median   worse than the median of the complete runs of other cells, once there are `peers` of them
    halving  at epochs `start` x `factor`^k, not among the best 1/`factor` of the runs that came so far (asynchronous
             successive halving, Li et al., MLSys 2020)
    start    the first epoch that is compared
    """

    rule: Literal["median", "halving"]
    start: int = Field(default=1, ge=1, le=limits.EPOCHS)
    peers: int = Field(default=4, ge=1, le=limits.RUNS)
    factor: int = Field(default=3, ge=2, le=limits.RUNS)

    @model_validator(mode="after")
    def _used(self) -> Pruning:
        foreign = "factor" if self.rule == "median" else "peers"
        if foreign in self.model_fields_set and getattr(self, foreign) != type(self).model_fields[foreign].default:
            raise ValueError(f"{foreign} is not used by rule: {self.rule}")
        return self


class Search(Value):
    """How a search design asks for cells. `trials` counts distinct cells that keep the constraints.

    objectives  the sweep's metric alone (also when it is empty), or the metric and what a network costs; lower is
                better
    """

    sampler: Literal["tpe", "nsga2", "random", "qmc"] = "tpe"
    trials: int = Field(ge=1, le=limits.TRIALS)
    seed: Seed = 0
    constraints: Constraints | None = Field(default=None, description="a mapping with params, macs or both")
    objectives: Seq[str] = Field(default=(), description="a list such as [val_error, macs]")
    pruning: Pruning | None = Field(default=None, description="a mapping with rule: median or halving")

    @property
    def against(self) -> Kind | None:
        """The cost that stands beside the metric as the second objective."""
        return next((kind for kind in _KINDS if kind in self.objectives), None)

    @property
    def counts(self) -> bool:
        """Whether the cost of every cell has to be known before it is trained."""
        return self.constraints is not None or self.against is not None
