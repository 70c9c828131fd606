"""YAML that a results folder holds, as plain values. It may come from anywhere: it is read in one pass over what the
parser finds, without recursion, so that neither nesting nor anything else in it can end the reader."""

from __future__ import annotations

from typing import Any, NoReturn

import yaml

MOST_VALUES = 1_000_000  # a study of 1,000 cells and 10 seeds has 35,000
MOST_LEVELS = 64
_LONGEST_NUMBER = 400  # characters
_TAG = "tag:yaml.org,2002:"

# The C parser is many times faster. What it makes of its events by itself recurses in C, unchecked.
_Parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_resolver, _constructor = yaml.resolver.Resolver(), yaml.constructor.SafeConstructor()
_READ = {
    f"{_TAG}null": lambda _: None,
    f"{_TAG}bool": _constructor.construct_yaml_bool,
    f"{_TAG}int": _constructor.construct_yaml_int,
    f"{_TAG}float": _constructor.construct_yaml_float,
}


def read(text: bytes) -> Any:
    """The value in `text`, as PyYAML's safe loader gives it. Raises yaml.YAMLError for anything but null, booleans,
    numbers and text, in lists and mappings: for tags, aliases and dates, too many values, too many levels."""
    lists: list[list[Any]] = [[]]  # those that are open; of a mapping, keys and values in turn
    for count, event in enumerate(yaml.parse(text, Loader=_Parser)):
        kind = type(event)
        if isinstance(event, yaml.ScalarEvent):
            lists[-1].append(event.value if event.implicit[1] else _scalar(event))
        elif kind in (yaml.MappingStartEvent, yaml.SequenceStartEvent):
            lists.append([])
        elif kind is yaml.MappingEndEvent:
            lists[-2].append(_mapping(lists.pop(), event))
        elif kind is yaml.SequenceEndEvent:
            lists[-2].append(lists.pop())
        elif kind is yaml.AliasEvent:
            _refuse("an alias stands for another value", event)
        if count > MOST_VALUES or len(lists) > MOST_LEVELS:
            _refuse(f"more than {MOST_VALUES} values or {MOST_LEVELS} levels", event)
    return lists[0][-1] if lists[0] else None


def _scalar(event: yaml.ScalarEvent) -> Any:
    """A scalar that is written without quotes."""
    if not event.implicit[0]:
        _refuse(f"the tag {event.tag}", event)
    tag = _resolver.resolve(yaml.ScalarNode, event.value, (True, False))  # type: ignore[no-untyped-call]
    if tag == f"{_TAG}str":
        return event.value
    if tag not in _READ or len(event.value) > _LONGEST_NUMBER:
        _refuse(f"no plain value ({tag})", event)
    return _READ[tag](yaml.ScalarNode(tag, event.value))


def _mapping(entries: list[Any], event: yaml.Event) -> dict[Any, Any]:
    keys = entries[::2]
    if any(isinstance(key, (list, dict)) for key in keys):
        _refuse("a key is text or a number", event)
    return dict(zip(keys, entries[1::2], strict=True))


def _refuse(what: str, event: yaml.Event) -> NoReturn:
    where = event.start_mark
    raise yaml.YAMLError(f"{what}{f', line {where.line + 1}' if where else ''}")
