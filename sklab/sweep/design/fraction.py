"""Fractional factorial designs of factors with two levels.

A factor is a bit, a product of factors a set of bits; the product of two sets is their symmetric difference.
Source: G. E. P. Box and J. S. Hunter, The 2^(k-p) fractional factorial designs, Technometrics 3 (1961), 311-351 and
449-458; minimum aberration: A. Fries and W. G. Hunter, Technometrics 22 (1980), 601-608.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from itertools import combinations, product
from operator import xor

from sklab.spec.study.sweep import Factor, Fraction
from sklab.sweep.design.cells import Choice

MOST_FACTORS = 9  # the search for the best fraction is exhaustive
SHARES = {"1/2": 1, "1/4": 2, "1/8": 3, "1/16": 4}  # number of factors whose levels follow from the others


def shares_of(factors: int) -> list[str]:
    """The fractions of this number of factors in which no main effect is confounded with another one."""
    return [share for share, added in SHARES.items() if _has_room(factors - added, added)]


def describe(factors: Sequence[str], share: str) -> Fraction:
    """The best fraction of this share: the highest resolution, then the fewest short confusions."""
    added = _best(len(factors), SHARES[share])
    words = _words(added, len(factors) - len(added))
    return Fraction(
        share=share,
        resolution=min(word.bit_count() for word in words),
        generators=tuple(_generators(factors, added)),
        aliases=tuple(_aliases(factors, words)),
    )


def fractional(factors: Mapping[str, Factor], baseline: Choice, share: str) -> Iterator[Choice]:
    """The cells of the best fraction of this share that contains the baseline; the baseline comes first."""
    names, added = list(factors), _best(len(factors), SHARES[share])
    others = {
        name: next(level for level in factor.levels if level != baseline[name]) for name, factor in factors.items()
    }
    for bits in product((0, 1), repeat=len(names) - len(added)):
        chosen = sum(bit << at for at, bit in enumerate(bits))
        moved = [*bits, *((chosen & parents).bit_count() % 2 for parents in added)]
        yield {name: others[name] if move else baseline[name] for name, move in zip(names, moved, strict=True)}


def _has_room(free: int, added: int) -> bool:
    return free >= 2 and added <= 2**free - free - 1


def _best(factors: int, added: int) -> tuple[int, ...]:
    """The generators of minimum aberration: for each added factor the free factors whose product it is."""
    free = factors - added
    products = [parents for parents in range(2**free) if parents.bit_count() >= 2]
    return min(combinations(reversed(products), added), key=lambda parents: _aberration(_words(parents, free)))


def _words(parents: Sequence[int], free: int) -> list[int]:
    """All products of factors that are constant over the fraction."""
    generators = [group | 1 << (free + at) for at, group in enumerate(parents)]
    return [reduce(xor, chosen) for size in range(1, len(parents) + 1) for chosen in combinations(generators, size)]


def _aberration(words: Sequence[int]) -> list[int]:
    """The number of defining words of each length, the short ones first."""
    lengths = Counter(word.bit_count() for word in words)
    return [lengths[length] for length in range(1, max(lengths) + 1)]


def _generators(factors: Sequence[str], added: Sequence[int]) -> Iterator[str]:
    for name, parents in zip(factors[len(factors) - len(added) :], added, strict=True):
        yield f"{name} = {_named(factors, parents)}"


def _aliases(factors: Sequence[str], words: Sequence[int]) -> Iterator[str]:
    """The groups of main effects and two-way interactions that can't be told from each other."""
    singles = [1 << at for at in range(len(factors))]
    effects = [*singles, *(first | second for first, second in combinations(singles, 2))]
    named: set[int] = set()
    for effect in effects:
        aliases = [other for other in effects if other == effect or effect ^ other in words]
        if len(aliases) > 1 and not named.intersection(aliases):
            yield " = ".join(_named(factors, other) for other in aliases)
        named.update(aliases)


def _named(factors: Sequence[str], effect: int) -> str:
    return " × ".join(name for at, name in enumerate(factors) if effect >> at & 1)
