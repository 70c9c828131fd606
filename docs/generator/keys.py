"""The keys of a value, as the rows of a table: read from the class, where each key has its type and its meaning."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

_LARGEST_SHOWN = 1e9  # a limit beyond it is there for typing mistakes, and tells nobody anything
_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    Any: "any value",
}
_LINE = re.compile(r"(\w+(?:, \w+)*)(?:  +(\S.*))?")


@dataclass(frozen=True)
class Key:
    """A key of a YAML file: what may stand there, its default and its meaning, in Markdown."""

    name: str
    allowed: str
    default: str
    meaning: str


class UndocumentedError(Exception):
    """Keys without a line in the docstring of their class."""


def keys_of(kind: type[BaseModel], names: Iterable[str] | None = None) -> list[Key]:
    """The keys of a class that a user may set, all or those of the fields `names`. Raises UndocumentedError for keys
    without a meaning."""
    fields = kind.model_fields
    chosen = [name for name in (fields if names is None else names) if not is_fixed(fields[name])]
    meanings = meanings_of(kind)
    if missing := [name for name in chosen if name not in meanings]:
        raise UndocumentedError(f"{kind.__module__}.{kind.__qualname__}: no line for {', '.join(missing)}")
    return [
        Key(fields[name].alias or name, allowed(fields[name]), default(fields[name]), meanings[name]) for name in chosen
    ]


def is_fixed(field: FieldInfo) -> bool:
    """Whether one value is allowed, and is the default: nobody needs to write it."""
    return get_origin(field.annotation) is Literal and get_args(field.annotation) == (field.default,)


def own_fields(kind: type[BaseModel]) -> list[str]:
    """The fields that a class states itself, and not the classes that it is derived from."""
    return [name for name in inspect.get_annotations(kind) if name in kind.model_fields]


def meanings_of(kind: type) -> dict[str, str]:
    """What the docstrings of a class and of its bases say of each attribute; the class itself goes first."""
    known: dict[str, str] = {}
    for owner in kind.__mro__:
        for name, meaning in attribute_lines(owner.__doc__ or ""):
            known.setdefault(name, meaning)
    return known


def attribute_lines(docstring: str) -> Iterator[tuple[str, str]]:
    """Each attribute of a docstring with its meaning."""
    return ((name, meaning) for names, meaning in attribute_groups(docstring) for name in names)


def attribute_groups(docstring: str) -> Iterator[tuple[list[str], str]]:
    """The attributes of a docstring in the form of this project: a line `name  meaning` or `name, name  meaning`, which
    further lines that are indented continue. The meaning may begin on the second line."""
    names: list[str] = []
    words: list[str] = []
    for line in [*inspect.cleandoc(docstring).splitlines(), ""]:
        if names and line.startswith("  "):
            words.append(line.strip())
            continue
        if words:
            yield names, " ".join(words)
        match = _LINE.fullmatch(line)
        names, words = (match[1].split(", "), [match[2]] if match[2] else []) if match else ([], [])


def default(field: FieldInfo) -> str:
    """The default as it would stand in YAML; `needed` where there is none."""
    value = field.default
    if value is PydanticUndefined:
        return "needed"
    if isinstance(value, BaseModel):
        return "`{}`"
    return f"`{value}`" if value and isinstance(value, str) else f"`{json.dumps(value)}`"


def allowed(field: FieldInfo) -> str:
    """What may stand there, in plain words."""
    return field.description or _allowed(field.annotation, field.metadata)


def _allowed(kind: Any, limits: Iterable[Any]) -> str:
    if get_origin(kind) is Annotated:
        inner, *further = get_args(kind)
        return _allowed(inner, [*limits, *further])
    if get_origin(kind) is Literal:
        return ", ".join(f"`{json.dumps(value) if isinstance(value, bool) else value}`" for value in get_args(kind))
    arguments = [part for part in get_args(kind) if part not in (type(None), Ellipsis)]
    if get_origin(kind) is tuple:
        return f"a list, each {_allowed(arguments[0], ())}"
    if get_origin(kind) is dict:
        return f"by name: {_allowed(arguments[1], ())}"
    if arguments:
        return " or ".join(_allowed(part, limits) for part in arguments)
    word = _WORDS.get(kind, "a mapping")
    return f"{word} {_range(limits)}".strip() if kind in (int, float) else word


def _range(limits: Iterable[Any]) -> str:
    """`from 1 to 100`, `above 0`: the range that annotations state."""
    flat = [part for limit in limits for part in (limit.metadata if isinstance(limit, FieldInfo) else [limit])]
    found = {name: getattr(part, name) for part in flat for name in ("ge", "gt", "le", "lt") if hasattr(part, name)}
    known = {name: f"{value:,}" for name, value in found.items() if abs(value) < _LARGEST_SHOWN}
    low = f"from {known['ge']}" if "ge" in known else f"above {known['gt']}" if "gt" in known else ""
    high = f"up to {known['le']}" if "le" in known else f"below {known['lt']}" if "lt" in known else ""
    if "ge" in known and "le" in known:
        return f"{low} to {known['le']}"
    return f"{low}, {high}" if low and high else f"{low} up" if "ge" in known else low or high


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the texts of its cells are Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def table_of(keys: Iterable[Key], links: Mapping[str, str]) -> str:
    """The table of keys. `links` says by the name of a key where the keys below it are explained."""
    rows = [(f"`{key.name}`", _linked(key.allowed, links.get(key.name)), key.default, key.meaning) for key in keys]
    return table(("key", "value", "default", "meaning"), rows)


def _linked(text: str, to: str | None) -> str:
    return f"[{text}]({to})" if to else text
