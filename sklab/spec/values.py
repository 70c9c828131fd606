"""The base of all values: frozen, no unknown fields, no silent conversion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Strict
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from sklab.errors import Fault
from sklab.spec.names import did_you_mean

T = TypeVar("T")
Place = tuple[int | str, ...]

# A YAML list becomes a tuple; its elements stay strict.
Seq = Annotated[tuple[T, ...], Strict(False)]

# The error type of a broken rule between well-formed values ("G divides C"). A cell that breaks a rule is listed as
# invalid; every other validation error is a fault of the file.
RULE = "rule"


class Value(BaseModel):
    """Base of every value: immutable, strict about types (no "3" for 3), closed to unknown keys.

    added  fields that were added when runs had already been trained without them. Such a field at its default (which
           must never change) is no part of a run's key, so that finished runs keep their keys.
    """

    added: ClassVar[frozenset[str]] = frozenset()

    @property
    def unkeyed(self) -> frozenset[str]:
        """The fields that are no part of a run's key, such as places of files."""
        return frozenset()

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def ensure_no_broken_rule(broken: Iterable[str]) -> None:
    """Raise the error for well-formed values that do not fit together, if there are any messages in `broken`."""
    if text := "; ".join(broken):
        raise PydanticCustomError(RULE, "{text}", {"text": text})


def fault_of(detail: ErrorDetails, source: str, whole: str, settings_at: Callable[[Place], Iterable[str]]) -> Fault:
    """A validation error as a fault of settings that stand in a call or on the command line, here called `source`.

    whole        the place to report for an error of all settings together; their value is too long to show
    settings_at  gives the keys that are allowed beside the unknown key at a place
    """
    place = ".".join(map(str, detail["loc"])) or whole
    if detail["type"] == "extra_forbidden":
        known = list(settings_at(detail["loc"]))
        hint = did_you_mean(str(detail["loc"][-1]), known)
        return Fault(source, place, "unknown setting", allowed=", ".join(known), hint=hint)
    found = "" if place == whole else repr(detail["input"])
    hint = detail.get("ctx", {}).get("hint", "")
    return Fault(source, place, detail["msg"].removeprefix("Value error, "), found=found, hint=hint)


def keys_of(kind: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a class by the keys that stand for them in a file."""
    return {field.alias or name: field for name, field in kind.model_fields.items()}


def value_class(annotation: Any) -> type[Value] | None:
    """The class of values in a type such as `tuple[Branch, ...]` or `Search | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Value):
        return annotation
    return next((inner for part in get_args(annotation) if (inner := value_class(part))), None)


def leaves(tree: Any, *, lists: bool, path: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a plain tree of mappings by their dotted paths below `path`; an empty mapping has none.

    With `lists`, the elements of a list are leaves under their numbers; without, the whole list is one.
    """
    if isinstance(tree, Mapping):
        entries: Iterable[tuple[Any, Any]] = tree.items()
    elif lists and isinstance(tree, list):
        entries = enumerate(tree)
    else:
        yield path, tree
        return
    for key, entry in entries:
        yield from leaves(entry, lists=lists, path=f"{path}.{key}" if path else str(key))
