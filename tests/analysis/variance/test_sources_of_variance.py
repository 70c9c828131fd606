"""Variance components of sources of chance: against statsmodels, against planted ones, and what layouts can't tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from sklab.analysis.statistics.compare import compare
from sklab.analysis.variance.components import Components, of_differences, of_runs

Floats = NDArray[np.float64]
Parts = tuple[float, float]  # standard deviations: of what moves all cells alike, and of what moves each by itself
NOTHING: Parts = (0, 0)


class Planted(NamedTuple):
    """A layout and its standard deviations. `times` multiplies all that moves the first cell by itself."""

    shape: tuple[int, ...]
    sources: tuple[Parts, ...]
    blocks: Parts | None = None
    rest: Parts = (0, 1)
    times: float = 1

    def drawn(self, random: np.random.Generator) -> Floats:
        places = [*range(2, len(self.shape))]
        layouts = [((1, axis), parts) for axis, parts in zip(places, self.sources, strict=True)]
        every = [*layouts, ((1,), self.blocks or NOTHING), ((1, *places), self.rest)]
        factor = np.ones((self.shape[0], *[1] * (len(self.shape) - 1)))
        factor[0] = self.times
        return sum(
            (alike * self._normal(random, axes) + factor * apart * self._normal(random, (0, *axes)))
            for axes, (alike, apart) in every
        ) + np.zeros(self.shape)

    def _normal(self, random: np.random.Generator, axes: tuple[int, ...]) -> Floats:
        return random.normal(size=[number if at in axes else 1 for at, number in enumerate(self.shape)])

    @property
    def true(self) -> tuple[Floats, Floats]:
        """The variances of a run and of what moves a cell by itself, means over cells."""
        own = 1 + (self.times**2 - 1) / self.shape[0]
        parts = [*self.sources, *([self.blocks] if self.blocks else []), self.rest]
        apart = np.array([own * part[1] ** 2 for part in parts])
        return apart + [part[0] ** 2 for part in parts], apart


def rows(found: Components | None) -> list[tuple[float, ...]]:
    assert found is not None
    return [astuple(part) for part in (*found.sources, found.blocks, found.rest) if part is not None]


def test_estimates_are_those_of_restricted_maximum_likelihood_where_none_is_negative() -> None:
    values = Planted((1, 8, 3, 2), ((2, 0), (1, 0)), (1.5, 0), (1, 0)).drawn(np.random.default_rng(4))
    blocks, first, second = (index.ravel() for index in np.indices(values.shape[1:]))
    frame = pd.DataFrame({"value": values.ravel(), "block": blocks, "first": first, "second": second})
    parts = {"first": "0 + C(first)", "second": "0 + C(second)"}
    model = smf.mixedlm("value ~ 1", frame, groups="block", re_formula="1", vc_formula=parts)
    fitted = model.fit(reml=True, method="lbfgs")
    theirs = dict(zip(model.exog_vc.names, fitted.vcomp, strict=True))
    ours = [row[0] for row in rows(of_runs(values, block_effect=True))]
    expected = [theirs["first"], theirs["second"], float(np.asarray(fitted.cov_re).item()), fitted.scale]
    assert min(ours) > 0
    assert_allclose(ours, expected, rtol=1e-3)


shapes = st.tuples(st.integers(2, 4), st.integers(2, 3), st.integers(2, 3), st.integers(2, 3))


@given(shapes, st.integers(0, 2**31), st.floats(0.1, 100), st.floats(-100, 100))
def test_unit_and_level_of_the_values_do_not_matter(
    shape: tuple[int, ...], seed: int, unit: float, level: float
) -> None:
    values = np.random.default_rng(seed).normal(size=shape)
    moved = unit * values + level + np.arange(shape[0]).reshape(-1, 1, 1, 1)
    for of in (of_runs, of_differences):
        ours, theirs = (np.array(rows(of(each, block_effect=True))) for each in (values, moved))
        assert_allclose(theirs[:, :3], unit**2 * ours[:, :3], rtol=1e-6, atol=1e-9 * unit**2)
        assert_allclose(theirs[:, 3:], ours[:, 3:], rtol=1e-6, atol=1e-9)


@given(st.integers(0, 2**31))
def test_what_moves_all_cells_alike_is_no_part_of_a_difference(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(size=(3, 2, 2, 3))
    shifted = values + random.normal(size=(1, 2, 2, 1)) + random.normal(size=(1, 2, 1, 1))
    ours, theirs = (rows(of_differences(each, block_effect=True)) for each in (values, shifted))
    assert_allclose(theirs, ours, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 1, 1), (1, 3, 4, 1), (2, 3, 2, 1)])
def test_one_crossed_source_can_not_be_told_from_the_rest(shape: tuple[int, ...]) -> None:
    assert of_runs(np.random.default_rng(0).normal(size=shape), block_effect=False) is None


def test_one_block_tells_of_no_blocks_and_one_cell_of_no_difference() -> None:
    values = np.random.default_rng(0).normal(size=(1, 1, 3, 3))
    found = of_runs(values, block_effect=True)
    assert found is not None
    assert found.blocks is None
    assert of_differences(values, block_effect=False) is None


def test_equal_values_have_no_variance() -> None:
    assert all(row[:4] == (0, 0, 0, 0) for row in rows(of_runs(np.ones((2, 2, 2, 2)), block_effect=True)))


SETTINGS = {
    "a cell, two sources": Planted((1, 3, 2, 2), ((0, 1), (0, 1))),
    "a cell, a source that does nothing": Planted((1, 6, 2, 2), ((0, 0), (0, 1))),
    "a cell, a block": Planted((1, 1, 5, 5), ((1, 0), (0, 0))),
    "three sources": Planted((1, 2, 3, 3, 2), ((0, 1), (0, 0.5), (0, 0))),
    "four cells and a split": Planted((4, 3, 2, 2), ((0.5, 0.5), (0.5, 1)), (1, 0.5)),
    "eleven cells, rest alone": Planted((11, 3, 2, 2), ((0, 0), (0, 0))),
    "eleven cells, all moved alike": Planted((11, 3, 2, 2), ((1, 0), (0, 0)), None, (0.5, 1)),
    "a split that does nothing": Planted((2, 4, 2, 2, 2), ((1, 1), (0.3, 0.3), (0, 0)), (0, 0), (0.3, 1)),
    "large parts": Planted((4, 5, 2, 2), ((2, 2), (0, 0)), (2, 2)),
    "a cell of four times the variance": Planted((8, 4, 2, 2), ((0, 1), (0, 0.5)), None, (0, 1), 2),
}
STUDIES = 600


def covered(planted: Planted, of: Callable[..., Components | None], studies: int) -> tuple[Floats, Floats]:
    """How often the intervals of the variances and of the shares hold, by component."""
    random = np.random.default_rng(7)
    drawn = (planted.drawn(random) for _ in range(studies))
    found = np.array([rows(of(values, block_effect=planted.blocks is not None)) for values in drawn])
    true = planted.true[0 if of is of_runs else 1]
    share = true / true.sum()
    return tuple(
        np.mean((found[..., low] <= value) & (value <= found[..., low + 1]), axis=0)
        for value, low in ((true, 1), (share, 4))
    )


def false_claims(studies: list[Floats]) -> float:
    """The share of studies (cells, seeds) in which any cell is told apart from the first."""
    claims = [[row.adjusted < 0.05 for row in compare(values, 0).rows[1:]] for values in studies]
    return float(np.mean(np.any(claims, axis=1)))


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_planted_components_lie_in_their_intervals(name: str) -> None:
    """At least 93 of 100, whatever the numbers of the studies that are drawn."""
    planted = SETTINGS[name]
    chance = 2 * np.sqrt(0.95 * 0.05 / STUDIES)
    for of in (of_runs, of_differences) if planted.shape[0] > 1 else (of_runs,):
        variances, shares = covered(planted, of, STUDIES)
        assert np.all(variances > 0.945 - chance), (of.__name__, variances)
        assert np.all(shares > 0.93 - chance / 2), (of.__name__, shares)


@pytest.mark.slow
def test_estimates_are_right_on_average() -> None:
    planted, random = SETTINGS["large parts"], np.random.default_rng(2)
    found = [rows(of_runs(planted.drawn(random), block_effect=True)) for _ in range(STUDIES)]
    mean = np.array(found)[..., 0].mean(axis=0)
    assert_allclose(mean, planted.true[0], rtol=0.1, atol=0.15)  # one that is 0 can only be found larger


@pytest.mark.slow
def test_block_means_hold_the_chance_of_a_false_claim_where_single_runs_do_not() -> None:
    planted, random = Planted((4, 3, 2, 2), ((0, 2), (0, 1))), np.random.default_rng(3)
    studies = [planted.drawn(random) for _ in range(1000)]
    assert false_claims([values.mean(axis=(2, 3)) for values in studies]) < 0.055
    assert false_claims([values.reshape(4, -1) for values in studies]) > 0.15
