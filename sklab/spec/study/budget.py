"""The claim that the cells of a study cost the same, and the cells that it does not hold for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from sklab.spec.values import Value

_SHARE = "a share of the baseline's, from 0 to less than 1: 0.05 for 5 %"
_DIGITS = 12  # of a difference: 29 of 100 is 0.29 and no more
Kind = Literal["params", "macs"]
_KINDS: tuple[Kind, ...] = ("params", "macs")
_NAMES: dict[Kind, str] = {"params": "parameters", "macs": "multiply-accumulates"}


def _below_one(share: float) -> float:
    if not 0 <= share < 1:
        raise ValueError(f"must be {_SHARE}")
    return share


Share = Annotated[float, AfterValidator(_below_one)]


class EqualBudget(Value):
    """How far a cell's parameters and multiply-accumulates may be from the baseline's, as shares of those.

    None is no claim; one of the two is made.
    """

    params: Share | None = Field(default=None, description=_SHARE)
    macs: Share | None = Field(default=None, description=_SHARE)

    @model_validator(mode="after")
    def _claims(self) -> EqualBudget:
        if self.params is None and self.macs is None:
            raise ValueError("states params, macs or both, else it claims nothing")
        return self


class Cost(Value):
    """Of a network: its parameters, and multiply-accumulates of one forward pass of one image."""

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
            f"{self.cell}: {100 * abs(self.difference):.2f} % {more} {_NAMES[self.cost]} than the baseline "
            f"({self.value:,} against {self.baseline:,}); the sweep claims equal ones within {100 * self.allowed:g} %"
        )


def off_budget(claim: EqualBudget | None, costs: Mapping[str, Cost], baseline: str) -> tuple[OffBudget, ...]:
    """The cells whose `costs`, by name, are further from those of `baseline` than the claim allows.

    Nothing is told without a claim, or while the costs of the baseline are not known.
    """
    if claim is None or baseline not in costs:
        return ()
    return tuple(off for name, cost in costs.items() for off in _off(claim, name, cost, costs[baseline]))


def _off(claim: EqualBudget, name: str, ours: Cost, baseline: Cost) -> Iterator[OffBudget]:
    for kind in _KINDS:
        allowed, value, reference = getattr(claim, kind), getattr(ours, kind), getattr(baseline, kind)
        if allowed is None or not reference:
            continue
        difference = round((value - reference) / reference, _DIGITS)
        if abs(difference) > allowed:
            yield OffBudget(
                cell=name, cost=kind, value=value, baseline=reference, difference=difference, allowed=allowed
            )
