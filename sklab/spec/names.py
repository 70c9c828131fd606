"""Names that people write: of cells, levels, keys and files. A number in a name is a number, however it is written."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

from sklab.spec import limits

_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?(?![\w.])")
_NEAR = 0.25  # of the larger one, that two numbers may differ by and one be suggested for the other
_OTHER_SIGNS = re.compile(r"[^A-Za-z0-9._-]+")
_DIGITS = 8  # of a digest


def canonical(name: str) -> str:
    """`name` with every number in it written in one way: the same for `lr=1e-2` and `lr=0.01`."""
    return _NUMBER.sub(lambda match: str(_number(match[0])), name)


def find(name: str, names: Iterable[str]) -> str | None:
    """`name` as it stands among `names`: letter by letter, else the first that differs in how numbers are written."""
    known = list(names)
    alike = (each for each in known if canonical(each) == canonical(name))
    return name if name in known else next(alike, None)


def common_names(lists: Iterable[Iterable[str]]) -> list[dict[str, str]]:
    """For each list what its names are called in all of them: as where they stand first, however numbers are written.

    Names of one list stay different.
    """
    first: dict[str, str] = {}
    called = []
    for names in lists:
        ours: dict[str, str] = {}
        for name in names:
            common = first.setdefault(canonical(name), name)
            ours[name] = name if common in ours.values() else common
        called.append(ours)
    return called


def did_you_mean(word: str, options: Iterable[str], cutoff: float = 0.6) -> str:
    """The option that `word` most likely stands for, or "" when none is near.

    Upper and lower case are the same here; of numbers the nearest is suggested, not the one that looks alike. `cutoff`,
    from 0 to 1, is how alike words have to be.
    """
    known = list(options)
    if _NUMBER.fullmatch(word):
        return find(word, known) or _nearest(word, known)
    by_small_letters = {option.lower(): option for option in reversed(known)}
    near = difflib.get_close_matches(word.lower(), by_small_letters, n=1, cutoff=cutoff)
    return by_small_letters[near[0]] if near else ""


def _nearest(word: str, options: Iterable[str]) -> str:
    ours = _number(word)
    numbers = {option: _number(option) for option in options if _NUMBER.fullmatch(option)}
    near = {
        option: abs(number - ours)
        for option, number in numbers.items()
        if abs(number - ours) <= Decimal(_NEAR) * max(abs(number), abs(ours))
    }
    return min(near, key=lambda option: near[option]) if near else ""


def _number(text: str) -> Decimal:
    """The same for every way to write a number (of up to 28 digits)."""
    return (Decimal(text) + 0).normalize()


def study_with_ending(study: str, ending: str) -> str:
    """`study` with `ending`; one that is no name then, or too long, is made one, with a digest of all of it."""
    whole = f"{study}{ending}"
    name = _OTHER_SIGNS.sub("_", whole)
    if name == whole and len(name) <= limits.NAME:
        return name
    digest = hashlib.sha256(whole.encode()).hexdigest()[:_DIGITS]
    return f"{name[: limits.NAME - _DIGITS - 1]}-{digest}"


def study_with_settings(study: str, settings: Mapping[str, str]) -> str:
    """The study of these settings, YAML text by dotted path: `kernels` with train.lr=0.2 is `kernels-train.lr-0.2`."""
    return study_with_ending(study, "".join(f"-{path}-{settings[path].strip()}" for path in sorted(settings)))
