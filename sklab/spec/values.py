"""What all values share: frozen, nothing unknown, nothing converted silently."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Strict
from pydantic_core import PydanticCustomError

T = TypeVar("T")

# A YAML list becomes a tuple; its elements stay strict.
Seq = Annotated[tuple[T, ...], Strict(False)]

# The type of a broken rule between well-formed values ("G divides C"). Such a cell is listed as invalid;
# every other validation error is a fault of the file.
RULE = "rule"


class Value(BaseModel):
    """Base of every value: immutable, strict about types (no "3" for 3), closed to unknown keys.

    added  fields that came after runs had been trained without them. At its default, which must never change, such
           a field is no part of a run's key, so that finished runs keep theirs.
    """

    added: ClassVar[frozenset[str]] = frozenset()

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def ensure_no_broken_rule(broken: Iterable[str]) -> None:
    """Raise the error of well-formed values that can't go together, if any rules are `broken`: which and why."""
    if told := "; ".join(broken):
        raise PydanticCustomError(RULE, "{text}", {"text": told})


def value_class(annotation: Any) -> type[Value] | None:
    """The one class of values in a type such as `tuple[Branch, ...]` or `Search | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Value):
        return annotation
    return next((found for part in get_args(annotation) if (found := value_class(part))), None)
