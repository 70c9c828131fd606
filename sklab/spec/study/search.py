"""The settings of a search, and what cells may cost: limits, objectives, pruning, equal budgets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from sklab.spec import limits
from sklab.spec.run import Seed
from sklab.spec.values import Seq, Value

Kind = Literal["params", "macs"]
COST_NOUNS: dict[Kind, str] = {"params": "parameters", "macs": "multiply-accumulates"}
_SHARE = "a share of the baseline's, from 0 to less than 1: 0.05 for 5 %"
_DIGITS = 12  # of a difference: 29 of 100 is 0.29 and no more
_POWERS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
_COUNT = "a whole number above 0, or one with k, M or G: 28M is 28,000,000"


def _below_one(share: float) -> float:
    if not 0 <= share < 1:
        raise ValueError(f"must be {_SHARE}")
    return share


Share = Annotated[float, AfterValidator(_below_one)]


class EqualBudget(Value):
    """How far a cell's parameters and multiply-accumulates may be from the baseline's, as shares of those.

    At least one of the two is given.

    params  largest difference of the number of parameters (`null`: no claim)
    macs    largest difference of the multiply-accumulates (`null`: no claim)
    """

    params: Share | None = Field(default=None, description=_SHARE)
    macs: Share | None = Field(default=None, description=_SHARE)

    @model_validator(mode="after")
    def _claims(self) -> EqualBudget:
        if self.params is None and self.macs is None:
            raise ValueError("states params, macs or both, else it claims nothing")
        return self


class Cost(Value):
    """A network's cost: parameters, and multiply-accumulates of one forward pass of one image."""

    params: int
    macs: int


class OffBudget(Value):
    """A cell that costs more or less than the study claims. `difference` and `allowed` are shares of `baseline`."""

    cell: str
    cost: Kind
    value: int
    baseline: int
    difference: float
    allowed: float

    def __str__(self) -> str:
        more = "more" if self.difference > 0 else "fewer"
        return (
            f"{self.cell}: {100 * abs(self.difference):.2f} % {more} {COST_NOUNS[self.cost]} than the baseline "
            f"({self.value:,} against {self.baseline:,}); the sweep claims equal ones within {100 * self.allowed:g} %"
        )


def off_budget(claim: EqualBudget | None, costs: Mapping[str, Cost], baseline: str) -> tuple[OffBudget, ...]:
    """The cells whose `costs` (by cell) differ from those of `baseline` by more than the claim allows.

    Empty without a claim, or while the costs of the baseline are not known.
    """
    if claim is None or baseline not in costs:
        return ()
    return tuple(off for name, cost in costs.items() for off in _off(claim, name, cost, costs[baseline]))


def _off(claim: EqualBudget, name: str, cost: Cost, baseline: Cost) -> Iterator[OffBudget]:
    for kind in COST_NOUNS:
        allowed, value, reference = getattr(claim, kind), getattr(cost, kind), getattr(baseline, kind)
        if allowed is None or not reference:
            continue
        difference = round((value - reference) / reference, _DIGITS)
        if abs(difference) > allowed:
            yield OffBudget(
                cell=name, cost=kind, value=value, baseline=reference, difference=difference, allowed=allowed
            )


def _count(value: Any) -> int:
    """`28M` and 28000000 as a number."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?)([kMG]?)", str(value)) if type(value) in (int, str) else None
    count = round(float(match[1]) * _POWERS[match[2]]) if match else 0
    if count < 1:
        raise ValueError(f"must be {_COUNT}")
    return count


class Limit(Value):
    """The most that a cell may cost.

    max  the largest number that is allowed
    """

    max: Annotated[int, BeforeValidator(_count)] = Field(description=_COUNT)


class Constraints(Value):
    """Limits on the cost of a cell's network, counted before training. At least one of the two is given.

    params  limit of the number of parameters
    macs    limit of the multiply-accumulates of one image
    """

    params: Limit | None = Field(default=None, description="a mapping with max")
    macs: Limit | None = Field(default=None, description="a mapping with max")

    @model_validator(mode="after")
    def _limits(self) -> Constraints:
        if self.params is None and self.macs is None:
            raise ValueError("states params, macs or both, else it limits nothing")
        return self

    def excess(self, cost: Cost) -> dict[str, float]:
        """By constraint, the excess of `cost` over the limit as a share of the limit; at most 0 if it is kept."""
        return {kind: getattr(cost, kind) / limit - 1 for kind, limit in self._limits_by_kind()}

    def broken(self, cost: Cost) -> str:
        """Which limits `cost` exceeds; "" if it exceeds none."""
        return "; ".join(
            f"{getattr(cost, kind):,} {COST_NOUNS[kind]}, at most {limit:,} allowed"
            for kind, limit in self._limits_by_kind()
            if getattr(cost, kind) > limit
        )

    def _limits_by_kind(self) -> Iterator[tuple[Kind, int]]:
        limits = ((kind, getattr(self, kind)) for kind in COST_NOUNS)
        return ((kind, limit.max) for kind, limit in limits if limit is not None)


class Pruning(Value):
    """The rule that ends runs which are worse than others at the same epoch.

    rule    `median`: a run ends that is worse than the median of the complete runs of other cells; `halving`: at the
            epochs `start` x `factor`^k a run ends that is not among the best 1/`factor` of the runs that have come so
            far (asynchronous successive halving, Li et al., MLSys 2020)
    start   the first epoch that is compared
    peers   complete runs of other cells that `median` waits for
    factor  the factor of `halving`
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
    """The settings of a search.

    sampler      who asks for the next cell: TPE, NSGA-II, chance, or a quasi-random sequence
    trials       distinct cells to train; those that break the constraints do not count
    seed         seed of the sampler
    constraints  limits on the cost of a cell's network; a cell beyond them is not trained
    objectives   the sweep's metric alone (also if empty), or the metric and `params` or `macs`; fewer are
                 better
    pruning      the rule that ends runs which are worse than others at the same epoch
    """

    sampler: Literal["tpe", "nsga2", "random", "qmc"] = "tpe"
    trials: int = Field(ge=1, le=limits.TRIALS)
    seed: Seed = 0
    constraints: Constraints | None = Field(default=None, description="a mapping with params, macs or both")
    objectives: Seq[str] = Field(default=(), description="a list such as [val_error, macs]")
    pruning: Pruning | None = Field(default=None, description="a mapping with rule: median or halving")

    @property
    def second_objective(self) -> Kind | None:
        """The cost that is the second objective beside the metric; None if there is one objective."""
        return next((kind for kind in COST_NOUNS if kind in self.objectives), None)

    @property
    def needs_costs(self) -> bool:
        """Whether the cost of every cell must be known before it is trained."""
        return self.constraints is not None or self.second_objective is not None
