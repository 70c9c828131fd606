"""Which seeds the sources of chance have in the run of a seed."""

from __future__ import annotations

from itertools import product
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sklab.spec.study.vary import SOURCES, Sources, Vary

numbers = st.dictionaries(st.sampled_from(SOURCES), st.integers(1, 4), min_size=1)


@given(numbers, st.integers(0, 50))
def test_a_block_crosses_its_seeds_and_the_next_one_has_others(fresh: dict[str, int], block: int) -> None:
    vary = Vary(**fresh)
    size = prod(fresh.values())
    assert vary.block == size
    runs, later = ([vary.sources(at * size + place) for place in range(size)] for at in (block, block + 1))
    expected = product(
        *(range(block * fresh[name], (block + 1) * fresh[name]) if name in fresh else [0] for name in SOURCES)
    )
    assert sorted(runs) == sorted(Sources(*levels) for levels in expected)
    for name in fresh:
        assert not {getattr(run, name) for run in runs} & {getattr(run, name) for run in later}


def test_a_list_renews_all_with_every_seed() -> None:
    vary = Vary.model_validate(["order", "split"])
    assert vary == Vary(order=1, split=1)
    assert [vary.sources(seed) for seed in (0, 7)] == [Sources(0, 0, 0, 0), Sources(0, 7, 0, 7)]


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        (["init", "init"], "each at most once"),
        (["weights"], "allowed: init, order, augment, split"),
        ([["init"]], "allowed: init, order, augment, split"),
        ([], "at least one source varies"),
        ({}, "at least one source varies"),
        ({"init": 0}, "greater than or equal to 1"),
        ({"init": 40, "order": 30}, "a block of 1200 runs is too large; allowed: at most 1000"),
    ],
)
def test_what_can_not_vary_is_refused(given_: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Vary.model_validate(given_)
