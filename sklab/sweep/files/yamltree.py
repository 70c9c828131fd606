"""YAML text as plain values, with the line of every place and all faults of form.

Data only: nodes are composed by PyYAML's safe loader and turned into dictionaries, lists and scalars here, so no tag
can construct anything. Plain scalars are read as in YAML 1.2: `1e-4` is a number, `on` and `no` are text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from sklab.errors import Fault, FaultyInputError

Place = tuple[str | int, ...]

MAX_NODES = 100_000  # a few nested aliases can stand for billions
MAX_DEPTH = 40
_MOST_SHOWN = 60  # characters of a value in a message
_MOST_DIGITS = 18  # what fits into 64 bits
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Mark:
    """The line of a value, counted from 1, and, for a scalar, its text as written."""

    line: int
    text: str


@dataclass(frozen=True)
class Document:
    """A file, or a value given on the command line for `prefix`, as plain values with the mark of every place."""

    file: str
    tree: Any
    marks: Mapping[Place, Mark]
    faults: tuple[Fault, ...] = ()
    prefix: Place = ()

    def text(self, place: Place) -> str:
        """The scalar at `place` as written; `null` where nothing is written."""
        return self.marks[place].text

    def fault(
        self, place: Place, message: str, *, found: str | None = None, allowed: str = "", hint: str = ""
    ) -> Fault:
        """A fault at `place`; its line is that of the nearest place around it that is in the file."""
        shown = self._shown(place) if found is None else found
        return Fault(self.file, dotted(self.prefix + place), message, self._line(place), shown, allowed, hint)

    def _line(self, place: Place) -> int:
        if self.prefix or not place:
            return 0
        return self.marks[place].line if place in self.marks else self._line(place[:-1])

    def _shown(self, place: Place) -> str:
        if place not in self.marks or not self.prefix + place:
            return ""
        value = value_at(self.tree, place)
        shown = json.dumps(value, ensure_ascii=False) if isinstance(value, (str, list, dict)) else self.text(place)
        return shown if len(shown) <= _MOST_SHOWN else shown[: _MOST_SHOWN - 3] + "..."


def parse(text: str, file: str, prefix: Place = ()) -> Document:
    """Any YAML value. Raises FaultyInputError when `text` is not YAML; other faults are in the Document."""
    builder = _Builder(file, prefix)
    try:
        root = yaml.compose(text, Loader=_Loader)
        tree = builder.value(root or yaml.ScalarNode(f"{_TAG}null", ""), (), 1)
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError, IndexError) as error:
        mark = getattr(error, "problem_mark", None)
        reason = "nested too deeply" if isinstance(error, RecursionError) else getattr(error, "problem", None) or error
        fault = Fault(file, dotted(prefix), f"not YAML: {reason}", mark.line + 1 if mark and not prefix else 0)
        raise FaultyInputError([fault]) from error
    return Document(file, tree, builder.marks, tuple(builder.faults), prefix)


def dotted(place: Place) -> str:
    """`place` as it stands in messages: keys and list positions joined by dots."""
    return ".".join(map(str, place))


def value_at(tree: Any, place: Place) -> Any:
    """The part of `tree` at `place`. Raises LookupError or TypeError when there is none."""
    for step in place:
        tree = tree[step]
    return tree


def is_one_line(text: str) -> bool:
    """Whether `text` has no line break, not even at its end: names stand in tables."""
    return "".join(text.splitlines()) == text


class _Loader(yaml.SafeLoader):
    """The safe loader with the plain scalars of YAML 1.2's core schema (no octal, hexadecimal or infinite numbers).

    It stops at the first value beyond the limit, before the rest is read: a value takes some 50 microseconds.
    """

    yaml_implicit_resolvers = {}
    _nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next value. Raises YAMLError when there are more than MAX_NODES."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _refusal(f"more than {MAX_NODES} values", self.peek_event())  # type: ignore[no-untyped-call]
        return super().compose_node(parent, index)


for _name, _pattern, _first in (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", "[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("merge", "<<", "<"),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern})\Z"), list(_first))


class _Builder:
    """Turns nodes into values; collects their marks and faults on the way."""

    def __init__(self, file: str, prefix: Place) -> None:
        self.marks: dict[Place, Mark] = {}
        self.faults: list[Fault] = []
        self._file, self._prefix, self._nodes = file, prefix, 0

    def value(self, node: yaml.Node, place: Place, line: int) -> Any:
        """The value of `node`, which stands at `place` and begins (or has its key) in `line`."""
        self._count(1, node)
        if len(place) > MAX_DEPTH:
            raise _refusal(f"more than {MAX_DEPTH} levels deep", node)
        self.marks[place] = Mark(line, _written(node))
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            pairs = self._pairs(node, place)
            return {key: self.value(value, (*place, key), at) for key, (at, value) in pairs.items()}
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.value(item, (*place, i), item.start_mark.line + 1) for i, item in enumerate(node.value)]
        return self._scalar(node, place, line)

    def _count(self, nodes: int, where: yaml.Node) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise _refusal(f"more than {MAX_NODES} values", where)

    def _pairs(self, node: yaml.MappingNode, place: Place) -> dict[str, tuple[int, yaml.Node]]:
        """Line and value by key. `<<` adds keys, but never replaces one of the mapping itself."""
        self._count(len(node.value), node)
        pairs: dict[str, tuple[int, yaml.Node]] = {}
        merged: list[yaml.Node] = []
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag == _TAG + "merge":
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
            elif not isinstance(key, yaml.ScalarNode) or not _is_text(key.value):
                self._fault(place, "a key must be text", line)
            elif key.value in pairs:
                self._fault((*place, key.value), "this key stands twice", line)
            else:
                pairs[key.value] = (line, value)
                if not is_one_line(key.value):
                    self._fault(place, "a key is one line", line, json.dumps(key.value)[:_MOST_SHOWN])
        for source in merged:
            if isinstance(source, yaml.MappingNode):
                pairs = {**self._pairs(source, place), **pairs}
            else:
                self._fault(place, "only a mapping can be merged", source.start_mark.line + 1)
        return pairs

    def _scalar(self, node: yaml.Node, place: Place, line: int) -> Any:
        read = _SCALARS.get(node.tag) if isinstance(node, yaml.ScalarNode) else None
        if read is None:
            self._fault(place, "tags are not read here: write a plain value", line, node.tag)
            return None
        try:
            return read(node.value)
        except (ValueError, KeyError) as error:
            self._fault(place, str(error), line, json.dumps(node.value)[:_MOST_SHOWN])
            return None

    def _fault(self, place: Place, message: str, line: int, found: str = "") -> None:
        self.faults.append(Fault(self._file, dotted(self._prefix + place), message, 0 if self._prefix else line, found))


def _refusal(reason: str, node: yaml.Node | yaml.Event) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, reason, node.start_mark)  # type: ignore[arg-type]


def _written(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        return ""
    return "null" if node.tag == _TAG + "null" else str(node.value)


def _is_text(text: str) -> bool:
    """Whether `text` is free of lone surrogates, which an escape in YAML can make and no file can hold."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _text_of(text: str) -> str:
    if not _is_text(text):
        raise ValueError("an escape makes half a character")
    return text


def _whole(text: str) -> int:
    if len(text.lstrip("+-")) > _MOST_DIGITS:
        raise ValueError(f"a number of more than {_MOST_DIGITS} digits")
    return int(text)


def _number(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError("not a finite number")
    return number


_SCALARS: dict[str, Callable[[str], Any]] = {
    _TAG + "null": lambda _: None,
    _TAG + "bool": lambda text: {"true": True, "false": False}[text.lower()],
    _TAG + "int": _whole,
    _TAG + "float": _number,
    _TAG + "str": _text_of,
}
