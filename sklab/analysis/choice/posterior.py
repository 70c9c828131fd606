"""Which cell is the best, and how good it really is: the posterior of the cells' levels.

The lowest of many means is low by luck as well: of eleven equal cells with 3 seeds it flatters itself by 0.9 standard
deviations of a run. A hierarchical model estimates from all cells how much of their spread is luck.

    value = level of the cell + seed + error

    levels  in one or two groups, each with a centre of its own; equal in a group with the prior probability EQUAL, else
            normal. With two groups the cells that fail do not hide that the good ones are equal
    seeds   normal, with a half-Cauchy scale: shared seeds count for as much as they explain
    errors  normal, with a variance of each cell that varies around a common one as if estimated from PRIOR degrees of
            freedom

The posterior is drawn by Gibbs sampling in many short chains side by side, from a fixed seed: the same values always
give the same answer. Scales are drawn from a grid with the levels and the seeds integrated out, which mixes where a
scale is near 0. All is in units of the standard deviation of a run, and each chain starts from a split of the cells at
their largest gap or from none. Lower values are better. Measured calibration and bias are in benchmarks/statistics.md.

Sources: A. Gelman et al., Bayesian Data Analysis, 3rd edition, 2013, chapters 5, 11 and 22; A. Gelman, Prior
distributions for variance parameters in hierarchical models, Bayesian Analysis 1 (2006), 515-534.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sklab.analysis.statistics import blocks
from sklab.analysis.statistics.intervals import FloatArray, IntArray, rounding_variance

EQUAL = 0.5
USUAL = 2.0  # standard deviations of a run: the likeliest scale of levels that are not equal
PRIOR = 8
GROUPS = 2
CONCENTRATION = 0.1  # of each group in the Dirichlet prior of their shares: one group alone has a probability of 3/4
_NONE = 1e-3  # the scale, in standard deviations, of levels that are equal
_SCALES = np.geomspace(0.25, 25, 10)
_LEVEL_SCALES = np.array([_NONE, *_SCALES])
_SEED_SCALES = np.geomspace(0.03, 40, 10)
_MOST_LEVELS = 16384  # in one draw of all chains
_APART = (_SCALES / USUAL / (1 + (_SCALES / USUAL) ** 2)) ** 2
_LEVEL_PRIOR = np.log([EQUAL, *(1 - EQUAL) * _APART / _APART.sum()])[:, None, None, None]
_SEED_PRIOR = np.log(_SEED_SCALES / (1 + _SEED_SCALES**2))[:, None, None]
_NO_RUNS = 1e-12  # the precision of the effect of a seed without runs


@dataclass(frozen=True)
class Posterior:
    """The cells (..., cells) as the model sees them.

    best   the probability that the cell has the lowest level
    mean   its expected mean over the seeds of the study, in the unit of the values: shrunken towards its group
    """

    best: FloatArray
    mean: FloatArray


@dataclass(frozen=True)
class Draws:
    """How many draws: `chains`, each with `kept` draws after the first `burnt` ones."""

    chains: int = 64
    burnt: int = 30
    kept: int = 64


REPORT = Draws()


@dataclass(frozen=True)
class _Data:
    """Standardised values of studies (studies, cells, seeds), 0 for gaps; `there` is 1 for a run."""

    values: FloatArray
    there: FloatArray

    @cached_property
    def runs(self) -> FloatArray:
        return np.asarray(self.there.sum(-1))

    @cached_property
    def sums(self) -> FloatArray:
        return np.asarray(self.values.sum(-1))

    @cached_property
    def wide(self) -> FloatArray:
        """(studies, 1): the prior variance of a group's centre."""
        return np.asarray((self.sums / self.runs).var(-1, keepdims=True) + 1)


@dataclass
class _State:
    """The chains: (chains, studies, cells), but `seeds` (chains, studies, seeds) and `common` (chains, studies, 1)."""

    group: IntArray
    level: FloatArray
    variance: FloatArray
    seeds: FloatArray
    common: FloatArray


def best_cell(values: FloatArray, draws: Draws = REPORT) -> Posterior:
    """The posterior of one table (cells, seeds), NaN for a run that is not there.

    NaN for a cell without runs, and for all cells where no spread can be estimated.
    """
    rows, seeds = (np.asarray((~np.isnan(values)).any(axis=axis)) for axis in (1, 0))
    nothing = np.full(len(values), np.nan)
    there = values[np.ix_(rows, seeds)]
    if not there.size or not blocks.fit(there).variance > rounding_variance(there):
        return Posterior(nothing, nothing)
    found, best, mean = posterior(there[None], draws), nothing.copy(), nothing.copy()
    best[rows], mean[rows] = found.best[0], found.mean[0]
    return Posterior(best, mean)


def posterior(values: FloatArray, draws: Draws = REPORT) -> Posterior:
    """The posterior of studies (studies, cells, seeds) in which every cell has a run and runs spread."""
    rng, there = np.random.default_rng(0), ~np.isnan(values)
    centre = np.nanmean(np.nanmean(values, -1), -1)[:, None, None]
    unit = np.sqrt(blocks.fit(values).variance)[:, None, None]
    data = _Data(np.where(there, (values - centre) / unit, 0), there.astype(float))
    state, tally = _start(data, _chains(draws, values.shape[1])), _Tally.of(values.shape[:2])
    used = there.any(1) / there.any(1).sum(-1, keepdims=True)
    for draw in range(draws.burnt + draws.kept):
        spreads = _step(data, state, rng)
        if draw >= draws.burnt:
            tally.add(state, spreads, state.level + (state.seeds * used).sum(-1, keepdims=True))
    return Posterior(tally.best, tally.mean * unit[..., 0] + centre[..., 0])


def _chains(draws: Draws, cells: int) -> int:
    """Fewer chains for a study of very many cells, whose best is drawn from few of them."""
    return max(min(draws.chains, _MOST_LEVELS // cells), 4)


@dataclass
class _Tally:
    """What is counted over the draws: how often each cell is the lowest, and the sums of the levels, apart by whether
    the levels in the group of the lowest are equal (0) or not (1)."""

    lowest: FloatArray
    draws: FloatArray
    levels: FloatArray

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> _Tally:
        return cls(np.zeros(shape), np.zeros((2, shape[0], 1)), np.zeros((2, *shape)))

    def add(self, state: _State, spreads: FloatArray, level: FloatArray) -> None:
        lowest = state.level.argmin(-1)[..., None]
        self.lowest += (lowest == np.arange(level.shape[-1])).sum(0)
        apart = np.take_along_axis(spreads, np.take_along_axis(state.group, lowest, -1), -1) > _NONE
        for at, draws in enumerate((~apart, apart)):
            self.draws[at] += draws.sum(0)
            self.levels[at] += (level * draws).sum(0)

    @property
    def best(self) -> FloatArray:
        return np.asarray(self.lowest / self.draws.sum(0))

    @property
    def mean(self) -> FloatArray:
        """The mean over the draws of the likelier kind: over all of them, the best of equal cells would be flattered
        by the draws in which they are not equal."""
        of_each = self.levels / np.maximum(self.draws, 1)
        return np.asarray(np.where(self.draws[0] > self.draws[1], of_each[0], of_each[1]))


def _start(data: _Data, chains: int) -> _State:
    """Every second chain starts with the cells split at their largest gap."""
    studies, cells, seeds = data.values.shape
    level = data.sums / data.runs
    group = np.zeros((chains, studies, cells), dtype=int)
    if cells > 1:
        order = np.sort(level, -1)
        below = np.take_along_axis(order, np.diff(order).argmax(-1)[:, None], -1)
        group[1::2] = level > below
    of_cells, one = (chains, studies, cells), (chains, studies, 1)
    return _State(group, np.zeros(of_cells), np.ones(of_cells), np.zeros((chains, studies, seeds)), np.ones(one))


def _step(data: _Data, state: _State, rng: np.random.Generator) -> FloatArray:
    """Draw everything once; returns the variance of the levels of each group."""
    mean = (data.sums - np.einsum("skn,csn->csk", data.there, state.seeds)) / data.runs
    variance = state.variance / data.runs
    centres, spreads = _groups(data, state, mean, variance, rng)
    shares = rng.standard_gamma(CONCENTRATION + _members(state.group).sum(-1))
    total = spreads[..., None, :] + variance[..., None]
    fits = np.log(np.maximum(shares, 1e-300))[..., None, :] - np.log(total) / 2
    fits = fits - (mean[..., None] - centres[..., None, :]) ** 2 / (2 * total)
    state.group = _drawn(np.moveaxis(fits, -1, 0), rng)
    _draw_levels(state, mean, variance, (centres, spreads), rng)
    _draw_seeds(data, state, rng)
    _draw_variances(data, state, rng)
    return spreads


def _groups(
    data: _Data, state: _State, mean: FloatArray, variance: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Centre and variance of the levels of each group (chains, studies, groups), the levels integrated out."""
    members, scales = _members(state.group), _LEVEL_SCALES[:, None, None, None]
    total = scales**2 + variance
    precise = members / total[..., None, :]
    weight, sums = precise.sum(-1), (precise * mean[..., None, :]).sum(-1)
    squares = (precise * mean[..., None, :] ** 2).sum(-1)
    fits = _LEVEL_PRIOR - np.einsum("tcsk,csgk->tcsg", np.log(total), members) / 2
    fits = fits - (np.log1p(data.wide * weight) + squares - sums**2 / (weight + 1 / data.wide)) / 2
    at = _drawn(fits, rng)
    weight, sums = (np.take_along_axis(part, at[None], 0)[0] for part in (weight, sums))
    precision = weight + 1 / data.wide
    return sums / precision + rng.standard_normal(at.shape) / np.sqrt(precision), _LEVEL_SCALES[at] ** 2


def _draw_levels(
    state: _State,
    mean: FloatArray,
    variance: FloatArray,
    groups: tuple[FloatArray, FloatArray],
    rng: np.random.Generator,
) -> None:
    centre, spread = (np.take_along_axis(of_groups, state.group, -1) for of_groups in groups)
    precision = 1 / spread + 1 / variance
    noise = rng.standard_normal(mean.shape) / np.sqrt(precision)
    state.level = (centre / spread + mean / variance) / precision + noise


def _draw_seeds(data: _Data, state: _State, rng: np.random.Generator) -> None:
    """The effects of the seeds, their scale drawn with the effects integrated out."""
    weight = 1 / state.variance
    precision = np.maximum(np.einsum("skn,csk->csn", data.there, weight), _NO_RUNS)
    sums = np.einsum("skn,csk->csn", data.values, weight)
    sums = sums - np.einsum("skn,csk->csn", data.there, weight * state.level)
    total = _SEED_SCALES[:, None, None, None] ** 2 + 1 / precision
    fits = -(np.log(total) + (sums / precision) ** 2 / total).sum(-1) / 2
    whole = precision + 1 / _SEED_SCALES[_drawn(fits + _SEED_PRIOR, rng)][..., None] ** 2
    state.seeds = sums / whole + rng.standard_normal(sums.shape) / np.sqrt(whole)


def _draw_variances(data: _Data, state: _State, rng: np.random.Generator) -> None:
    errors = data.values - state.level[..., None] - state.seeds[..., None, :]
    squares = (data.there * errors**2).sum(-1)
    shape = (PRIOR + data.runs) / 2
    state.variance = (PRIOR * state.common + squares) / (2 * rng.standard_gamma(shape, squares.shape))
    rate = PRIOR / 2 * (1 / state.variance).sum(-1, keepdims=True)
    state.common = rng.standard_gamma(PRIOR / 2 * squares.shape[-1], rate.shape) / rate


def _members(group: IntArray) -> FloatArray:
    """(chains, studies, groups, cells): 1 where the cell is in the group."""
    return np.asarray((group[..., None, :] == np.arange(GROUPS)[:, None]).astype(float))


def _drawn(fits: FloatArray, rng: np.random.Generator) -> IntArray:
    """A place along the first axis, with probabilities whose logs, up to a constant, are `fits`."""
    cumulative = np.exp(fits - fits.max(0)).cumsum(0)
    return np.asarray((cumulative < rng.random(fits.shape[1:]) * cumulative[-1]).sum(0))
