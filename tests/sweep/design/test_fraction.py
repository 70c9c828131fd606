"""Fractional factorial designs against their definition, and the designs of two levels in files."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweepfiles import FRACTIONAL, LEAVE_ONE_OUT, changed, faults_of, load

from sklab.spec.study.sweep import Factor
from sklab.sweep.design.fraction import SHARES, describe, fractional, shares_of

NAMES = "ABCDEFGHI"


def factors_of(number: int) -> dict[str, Factor]:
    return {name: Factor(path=name, levels={"low": 0, "high": 1}) for name in NAMES[:number]}


def signs(number: int, share: str, baseline: dict[str, str]) -> np.ndarray:
    """One row a cell: +1 at the baseline's level, -1 at the other."""
    cells = fractional(factors_of(number), baseline, share)
    return np.array([[1 if cell[name] == baseline[name] else -1 for name in cell] for cell in cells])


def constant_products(rows: np.ndarray) -> list[int]:
    """The sizes of the sets of factors whose product is the same in every cell."""
    columns = range(rows.shape[1])
    sets = (chosen for size in range(1, rows.shape[1] + 1) for chosen in combinations(columns, size))
    return [len(chosen) for chosen in sets if len(set(rows[:, chosen].prod(axis=1))) == 1]


@st.composite
def designs(draw: st.DrawFn) -> tuple[int, str, dict[str, str]]:
    number = draw(st.integers(3, 8))
    share = draw(st.sampled_from(shares_of(number)))
    return number, share, {name: draw(st.sampled_from(["low", "high"])) for name in NAMES[:number]}


@settings(max_examples=25, deadline=None)
@given(designs())
def test_a_fraction_is_balanced_holds_the_baseline_first_and_states_its_resolution(design) -> None:
    number, share, baseline = design
    rows = signs(number, share, baseline)
    assert len(rows) == 2 ** (number - SHARES[share])
    assert len({tuple(row) for row in rows}) == len(rows)
    assert np.all(rows[0] == 1)
    assert np.array_equal(rows.T @ rows, len(rows) * np.eye(number, dtype=int))  # main effects are orthogonal
    assert describe(NAMES[:number], share).resolution == min(constant_products(rows)) >= 3


@settings(max_examples=25, deadline=None)
@given(designs())
def test_aliases_are_the_effects_with_the_same_column(design) -> None:
    number, share, baseline = design
    rows = signs(number, share, baseline)
    names = NAMES[:number]
    effects = {name: rows[:, at] for at, name in enumerate(names)}
    pairs = combinations(range(number), 2)
    effects |= {f"{names[a]} × {names[b]}": rows[:, a] * rows[:, b] for a, b in pairs}
    stated = describe(names, share).aliases
    for group in stated:
        members = group.split(" = ")
        assert len(members) > 1
        assert all(np.array_equal(effects[member], effects[members[0]]) for member in members)
    together = {member: at for at, group in enumerate(stated) for member in group.split(" = ")}
    assert len(together) == sum(len(group.split(" = ")) for group in stated)  # none stands twice
    for (first, one), (second, other) in combinations(effects.items(), 2):
        same = first in together and together[first] == together.get(second)
        assert np.array_equal(one, other) == same


@pytest.mark.parametrize(
    ("number", "share", "resolution"),
    [
        (3, "1/2", 3),
        (4, "1/2", 4),
        (5, "1/2", 5),
        (5, "1/4", 3),
        (6, "1/4", 4),
        (7, "1/16", 3),
        (8, "1/16", 4),
        (9, "1/4", 6),
    ],
)
def test_resolutions_are_those_of_the_tables(number: int, share: str, resolution: int) -> None:
    # Box, Hunter and Hunter, Statistics for Experimenters, table of minimum aberration two-level designs
    assert describe(NAMES[:number], share).resolution == resolution


def test_a_fractional_sweep_has_the_cells_of_its_fraction(tmp_path: Path) -> None:
    sweep = load(tmp_path, FRACTIONAL)
    assert [cell.name for cell in sweep.cells] == [
        "D=2, r=16, lr=0.1", "D=2, r=8, lr=0.2", "D=1, r=16, lr=0.2", "D=1, r=8, lr=0.1",
    ]  # fmt: skip
    assert sweep.baseline == sweep.cells[0].name
    assert str(sweep.fraction) == (
        "1/2 of all combinations, resolution III (lr = D × r); "
        "one and the same here: D = r × lr; r = D × lr; lr = D × r"
    )


def test_leaving_one_out_names_cells_by_what_they_lack(tmp_path: Path) -> None:
    sweep = load(tmp_path, LEAVE_ONE_OUT)
    assert [cell.name for cell in sweep.cells] == ["full model", "without D", "without r", "without lr"]
    assert sweep.baseline == "full model"
    assert sweep.cells[1].settings["model.branches.1.dilation"] == 1


@pytest.mark.parametrize(
    ("change", "place", "told"),
    [
        ({"fraction": None}, "fraction", "missing, and design: fractional needs it"),
        ({"fraction": "1/3"}, "fraction", "allowed: 1/2, 1/4, 1/8, 1/16"),
        ({"fraction": "1/4"}, "fraction", "confuses main effects with each other; found 1/4; allowed: 1/2"),
        ({"design": "grid"}, "fraction", "not used by design: grid"),
    ],
)
def test_a_fraction_that_can_not_be_is_refused(tmp_path: Path, change: dict, place: str, told: str) -> None:
    assert told in str(faults_of(tmp_path, changed(FRACTIONAL, **change))[place])


@pytest.mark.parametrize("sweep", [FRACTIONAL, LEAVE_ONE_OUT])
def test_a_third_level_is_refused_with_its_place(tmp_path: Path, sweep: str) -> None:
    faults = faults_of(tmp_path, sweep.replace("levels: [8, 16]", "levels: [8, 16, 32]"))
    assert "needs two levels" in str(faults["factors.r.levels"])
