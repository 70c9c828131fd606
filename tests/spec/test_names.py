"""Numbers in names are numbers: whoever writes 0.01 means the level 1e-2."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklab.spec.names import canonical, common_names, did_you_mean, find

WAYS = [["0.01", "1e-2", "+.01", "0.010", "10E-3"], ["16", "16.0", "1.6e1", "+16."], ["0", "-0.0", "0e5"]]


@pytest.mark.parametrize("ways", WAYS)
def test_a_number_is_one_however_it_is_written(ways: list[str]) -> None:
    assert len(set(map(canonical, ways))) == 1
    assert len({canonical(f"lr={way}, r=3") for way in ways}) == 1


@pytest.mark.parametrize(
    "name", ["0.5x", "v1.0", "1.0.2", "2x", "K3", "3x3", "1e", "e-2", "", "3.5.7", "1_000", "ShuffleNetV2 0.5x"]
)
def test_what_is_no_number_stays_as_it_is(name: str) -> None:
    assert canonical(name) == name


@given(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=5))
def test_a_name_is_found_letter_by_letter_first(name: str, others: list[str]) -> None:
    assert find(name, [*others, name]) == name
    found = find(name, others)
    assert found is None or (found in others and canonical(found) == canonical(name))


@given(st.integers(-(10**12), 10**12), st.integers(-20, 20))
def test_every_number_is_found_by_another_way_to_write_it(digits: int, exponent: int) -> None:
    plain = f"{Decimal(digits).scaleb(exponent):f}"
    assert find(f"{digits}e{exponent}", ["x", plain]) == plain


@pytest.mark.parametrize(
    ("word", "options", "meant"),
    [
        ("0.01", ["0.1", "1e-2"], "1e-2"),
        ("0.01", ["0.1", "0.2"], ""),
        ("15", ["8", "16", "32"], "16"),
        ("151", ["15", "150", "sk"], "150"),
        ("OFAT", ["list", "ofat"], "ofat"),
        ("gird", ["list", "grid"], "grid"),
        ("grid", [], ""),
    ],
)
def test_what_is_suggested(word: str, options: list[str], meant: str) -> None:
    assert did_you_mean(word, options) == meant


def test_names_are_common_to_lists_and_stay_different_in_one() -> None:
    assert common_names([["lr=0.1", "a"], ["lr=1e-1", "b"], ["lr=.1", "lr=0.10"]]) == [
        {"lr=0.1": "lr=0.1", "a": "a"}, {"lr=1e-1": "lr=0.1", "b": "b"}, {"lr=.1": "lr=0.1", "lr=0.10": "lr=0.10"}
    ]  # fmt: skip
