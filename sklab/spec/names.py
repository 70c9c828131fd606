"""Names that people write: of cells, levels, keys and files. Numbers in names compare by value (`1e-2` is `0.01`)."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

from sklab.spec import limits

_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?(?![\w.])")
_NEAR = 0.25  # share of the larger number: one is suggested for the other if they differ by no more
_OTHER_SIGNS = re.compile(r"[^A-Za-z0-9._-]+")
_DIGITS = 8  # of a digest


def canonical(name: str) -> str:
    """`name` with every number in canonical form: the same for `lr=1e-2` and `lr=0.01`."""
    return _NUMBER.sub(lambda match: str(_number(match[0])), name)


def find(name: str, names: Iterable[str]) -> str | None:
    """The entry of `names` that equals `name`, else the first that differs only in how numbers are written."""
    options = list(names)
    same = (option for option in options if canonical(option) == canonical(name))
    return name if name in options else next(same, None)


def common_names(lists: Iterable[Iterable[str]]) -> list[dict[str, str]]:
    """For each list, the common name of each of its names: its first spelling in any list, however numbers are written.

    Different names of one list stay different.
    """
    first: dict[str, str] = {}
    common_by_list = []
    for names in lists:
        renamed: dict[str, str] = {}
        for name in names:
            common = first.setdefault(canonical(name), name)
            renamed[name] = name if common in renamed.values() else common
        common_by_list.append(renamed)
    return common_by_list


def did_you_mean(word: str, options: Iterable[str], cutoff: float = 0.6) -> str:
    """The option that `word` most likely means, or "" if none is near.

    Case is ignored. For a number the nearest in value is suggested, not the one that looks most alike. `cutoff`, from 0
    to 1, is the least similarity of words.
    """
    words = list(options)
    if _NUMBER.fullmatch(word):
        return find(word, words) or _nearest(word, words)
    by_small_letters = {option.lower(): option for option in reversed(words)}
    near = difflib.get_close_matches(word.lower(), by_small_letters, n=1, cutoff=cutoff)
    return by_small_letters[near[0]] if near else ""


def meant(word: str, options: Iterable[str]) -> str:
    """The end of an error about `word`: ` - did you mean 'x'?`; "" if no option is near."""
    near = did_you_mean(word, options)
    return f" - did you mean {near!r}?" if near else ""


def _nearest(word: str, options: Iterable[str]) -> str:
    target = _number(word)
    numbers = {option: _number(option) for option in options if _NUMBER.fullmatch(option)}
    near = {
        option: abs(number - target)
        for option, number in numbers.items()
        if abs(number - target) <= Decimal(_NEAR) * max(abs(number), abs(target))
    }
    return min(near, key=lambda option: near[option]) if near else ""


def _number(text: str) -> Decimal:
    """The value of a number, however it is written (up to 28 digits)."""
    return (Decimal(text) + 0).normalize()


def study_with_ending(study: str, ending: str) -> str:
    """`study` with `ending`. An invalid or too long name is made valid, with a digest of the whole text."""
    whole = f"{study}{ending}"
    name = _OTHER_SIGNS.sub("_", whole)
    if name == whole and len(name) <= limits.NAME:
        return name
    digest = hashlib.sha256(whole.encode()).hexdigest()[:_DIGITS]
    return f"{name[: limits.NAME - _DIGITS - 1]}-{digest}"


def study_with_settings(study: str, settings: Mapping[str, str]) -> str:
    """The study's name with settings, YAML text by dotted path: `kernels`, train.lr=0.2: `kernels-train.lr-0.2`."""
    return study_with_ending(study, "".join(f"-{path}-{settings[path].strip()}" for path in sorted(settings)))
