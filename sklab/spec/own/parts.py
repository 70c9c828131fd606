"""What experiments name of the user's own code (`sklab.own`), as values: a network, a data set, an optimiser, an
augmentation; and the finders that tell these from what comes with sklab.

Such a value has the hash of the file as `code` and the settings of what it names, all of them, as further fields. Where
the file was executed its settings are checked and completed; where a record is read, they are taken as they stand.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny, Strict, create_model
from pydantic_core import PydanticCustomError

from sklab.errors import SklabError
from sklab.own import files, registry
from sklab.own.registry import Kind, Own
from sklab.spec.data import DataSpec, data_sets, data_spec
from sklab.spec.model import DEFAULT_FAMILY, ModelSpec, families, family_spec, networks
from sklab.spec.names import did_you_mean
from sklab.spec.values import Seq, Value

MAY_DEFINE = "a file of your own may define it: --code FILE"
_OPEN = ConfigDict(extra="allow")
_CLOSED = ConfigDict(extra="forbid")
_PLAIN = (int, float, str, bool)

Hash = Annotated[str, Field(pattern=files.HASH)]


class OwnModel(ModelSpec):
    """A network of a family of the user's own; further fields are the settings of the family.

    code  hash of the file that defines it; filled in where sklab reads the file
    """

    model_config = _OPEN

    code: Hash

    @property
    def settings(self) -> dict[str, Any]:
        """What the family is called with."""
        return {"num_classes": self.num_classes, "in_channels": self.in_channels, **(self.model_extra or {})}


class OwnData(DataSpec):
    """A data set of the user's own; further fields are its settings.

    code  hash of the file that defines it; filled in where sklab reads the file
    mean, std  normalisation of pixels (0 to 1), per channel
    test  what the set is asked for as the third split; None: there is none
    """

    model_config = _OPEN
    beside: ClassVar[frozenset[str]] = frozenset({"title", "test"})

    code: Hash
    mean: Seq[float]  # type: ignore[misc]  # in other sets a class variable
    std: Seq[float]  # type: ignore[misc]
    test: str | None = Field(default=None, min_length=1)

    @property
    def on_device(self) -> bool:
        """Always: the images are arrays."""
        return True

    @property
    def settings(self) -> dict[str, Any]:
        """What the set is called with, beside the split."""
        return dict(self.model_extra or {})


class OwnSetting(Value):
    """An optimiser or an augmentation of the user's own; further fields are its settings.

    name  as its decorator calls it; alone, it may stand without a mapping
    code  hash of the file that defines it; filled in where sklab reads the file
    """

    model_config = _OPEN

    name: str
    code: Hash

    @property
    def settings(self) -> dict[str, Any]:
        """What it is called with, beside what sklab gives."""
        return dict(self.model_extra or {})

    def __str__(self) -> str:
        return self.name


def codes_in(value: Any) -> frozenset[str]:
    """The hashes of the files of own code that a value, or one within it, names."""
    if isinstance(value, Value):
        of_it = {value.code} if isinstance(value, OwnModel | OwnData | OwnSetting) else set()
        return frozenset(of_it).union(*(codes_in(inner) for _, inner in value))
    if isinstance(value, tuple):
        return frozenset().union(*map(codes_in, value))
    return frozenset()


class _OneModel(OwnModel):
    model_config = _CLOSED


class _OneSet(OwnData):
    model_config = _CLOSED


class _OneSetting(OwnSetting):
    model_config = _CLOSED


def _own_named(kind: Kind, name: Any, code: Any = None) -> Own | None:
    """What the user's file defines. Raises PydanticCustomError where it can't be executed."""
    try:
        return files.find(kind, str(name), code)
    except SklabError as error:
        raise PydanticCustomError("own_code", "{text}", {"text": str(error)}) from error


def class_of(own: Own) -> type[Value]:
    """The class with exactly the settings of `own`: what is checked where a user writes them. Raises SklabError where
    they can't be settings."""
    return _class_of(own, files.hash_of_current())


@cache
def _class_of(own: Own, code: str) -> type[Value]:
    base: type[Value]
    fixed: dict[str, Any] = {"code": code}
    if own.kind == "family":
        base, fixed = _OneModel, {**fixed, "family": own.name}
    elif own.kind == "data_set":
        count = len(own.stated["classes"])
        shape = {name: own.stated[name] for name in ("channels", "image_size")}
        base, fixed = _OneSet, {**fixed, "name": own.name, "num_classes": count, **shape}
    else:
        base, fixed = _OneSetting, {**fixed, "name": own.name}
    fields: dict[str, Any] = {name: (Literal[value], value) for name, value in fixed.items()}
    if own.kind == "data_set":
        fields |= {name: (Seq[float], own.stated[name]) for name in ("mean", "std")}
    for name, setting in own.settings.items():
        if name in {*base.model_fields, *dir(BaseModel)}:
            raise SklabError(f"{own}: a setting can't be called {name}")
        fields[name] = _field_of(setting)
    try:
        return create_model(f"{own.name}_settings", __base__=base, **fields)
    except Exception as error:  # whatever pydantic says of an annotation
        why = str(error).strip().splitlines()[0]
        raise SklabError(f"{own}: its settings are numbers, texts, lists and mappings of these: {why}") from error


def _field_of(setting: inspect.Parameter) -> tuple[Any, Any]:
    """The type of a setting: that of its annotation, else of its default; and the default."""
    default: Any = ... if setting.default is inspect.Parameter.empty else setting.default
    stated: Any = setting.annotation
    if isinstance(stated, str):
        stated = next((kind for kind in _PLAIN if kind.__name__ == stated), Any)
    elif stated is inspect.Parameter.empty:
        stated = type(default) if isinstance(default, _PLAIN) else Any
    return (stated if stated in _PLAIN else Annotated[stated, Strict(False)]), default


def _completed(own: Own, kind: type[Value], raw: Mapping[str, Any]) -> Any:
    """`raw` with all the settings of `own`. Raises pydantic.ValidationError."""
    try:
        strict = class_of(own)
    except SklabError as error:
        raise PydanticCustomError("own_code", "{text}", {"text": str(error)}) from error
    return kind.model_validate(strict.model_validate(dict(raw)).model_dump(mode="json"))


def find_model(raw: Any) -> Any:
    """The value of a network from its settings, by its family."""
    if not isinstance(raw, Mapping):
        return raw
    if "base" in raw:  # reading the file has replaced all known names by their settings
        context = {"found": repr(raw["base"]), "hint": did_you_mean(str(raw["base"]), networks())}
        raise PydanticCustomError("unknown_network", "unknown network {found}", context)
    name = raw.get("family", DEFAULT_FAMILY)
    if name in families():
        return family_spec(str(name)).model_validate(raw)
    return _of_own("family", OwnModel, name, raw)


def find_data(raw: Any) -> Any:
    """The value of a data set from its settings, by its name."""
    if not isinstance(raw, Mapping):
        return raw
    name = raw.get("name")
    if name in data_sets():
        return data_spec(str(name)).model_validate(raw)
    return _of_own("data_set", OwnData, name, raw)


def find_optimizer(raw: Any) -> Any:
    """The value of an optimiser from its name, or from its name and settings."""
    return raw if isinstance(raw, str) and raw in _SHIPPED["optimizer"]() else _setting("optimizer", raw)


def find_augmentation(raw: Any) -> Any:
    """The value of an augmentation from its name, or from its name and settings; None stays None."""
    return None if raw is None else _setting("augmentation", raw)


def _setting(kind: Kind, raw: Any) -> Any:
    if isinstance(raw, OwnSetting):
        return raw
    given = raw if isinstance(raw, Mapping) else {"name": raw}
    return _of_own(kind, OwnSetting, given.get("name"), given)


def _of_own(kind: Kind, base: type[Value], name: Any, raw: Mapping[str, Any]) -> Any:
    if own := _own_named(kind, name, raw.get("code")):
        return _completed(own, base, raw)
    if "code" in raw:
        return base.model_validate(raw)
    error, what = _UNKNOWN[kind]
    known = known_names(kind)
    context = {
        "expected": ", ".join(known) or "none that comes with sklab",
        "found": repr(name),
        "hint": did_you_mean(str(name), known),
    }
    raise PydanticCustomError(error, f"unknown {what} {{found}}; known: {{expected}}; {MAY_DEFINE}", context)


_SHIPPED: dict[Kind, Any] = {
    "family": families,
    "data_set": data_sets,
    "optimizer": lambda: ("sgd", "adamw"),
    "augmentation": lambda: (),
}
_UNKNOWN: dict[Kind, tuple[Any, str]] = {
    "family": ("unknown_family", "family"),
    "data_set": ("unknown_data", "data set"),
    "optimizer": ("unknown_optimizer", "optimizer"),
    "augmentation": ("unknown_augmentation", "augmentation"),
}
for _kind, _names in _SHIPPED.items():
    registry.reserve(_kind, _names)


def known_names(kind: Kind) -> tuple[str, ...]:
    """The names that come with sklab, and those of the user's file if it was executed."""
    return (*_SHIPPED[kind](), *files.names(kind))


def class_named(kind: Kind, name: Any) -> type[Value] | None:
    """The class that has the settings of what is called `name`; None where nothing is."""
    if kind == "family" and name in families():
        return family_spec(str(name))
    if kind == "data_set" and name in data_sets():
        return data_spec(str(name))
    own = files.find(kind, str(name)) if name in files.names(kind) else None
    return class_of(own) if own else None


# A mapping becomes the value of its `family`, or of the data set with its `name`.
AnyModel = Annotated[SerializeAsAny[ModelSpec], BeforeValidator(find_model)]
AnyOptimizer = Annotated[Literal["sgd", "adamw"] | OwnSetting, BeforeValidator(find_optimizer)]
AnyAugmentation = Annotated[OwnSetting | None, BeforeValidator(find_augmentation)]
AnyData = Annotated[SerializeAsAny[DataSpec], BeforeValidator(find_data)]
