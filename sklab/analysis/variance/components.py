"""How much of the spread between runs comes from each source of chance: the analysis of variance of a balanced layout.

Values are (cells, blocks, n_1, ..., n_k): a block crosses n_f seeds of source f, the next block has others. In a cell

    value = cell + block + source_1 + ... + source_k + rest,

all but the first random, with expected mean squares (Searle, Casella and McCulloch, Variance Components, 1992, ch. 4)

    rest:      R
    source f:  R + r_f S_f              r_f: runs of a block with one seed of f
    blocks:    R + sum r_f S_f + m B    m: runs of a block

A source may move all cells alike, or each cell by itself. What moves all alike drops out of differences between cells
on the same runs. So every square is split into that of the mean over cells and that of the deviations from it; the
deviations alone give the variances of a difference, both together those of a run.

Estimates are those of the equated mean squares, 0 where these are negative. Intervals are fiducial generalised ones
(Hannig, Iyer and Patterson 2006): every expected mean square is replaced by its square / chi-squared. They need no
approximation of a difference of mean squares, and hold with few degrees of freedom. Where cells have unequal variances,
the degrees of freedom of the deviations are fewer (Satterthwaite 1946).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import prod

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_DRAWS = 10_000
_SEED = 20_061  # of the draws: the same data give the same interval
_TAILS = (0.025, 0.975)


@dataclass(frozen=True)
class Component:
    """A variance, in the squared unit of the values, and its share of the sum of all; `low` and `high` are the ends of
    95 % intervals, each for itself."""

    variance: float
    low: float
    high: float
    share: float
    share_low: float
    share_high: float


@dataclass(frozen=True)
class Components:
    """The sources one by one, then the blocks (None where nothing is new with a block alone), then the rest: the
    sources together, and what no seed decides."""

    sources: tuple[Component, ...]
    blocks: Component | None
    rest: Component


@dataclass(frozen=True)
class _Stratum:
    """The mean squares of a stratum by effect (sources, blocks, rest), and their degrees of freedom."""

    squares: Floats
    df: tuple[int, ...]


def of_runs(values: Floats, *, block_effect: bool) -> Components | None:
    """The variances of a run around the mean of its cell; None where the layout can't tell them.

    block_effect  whether something is new with every block beside the seeds of the sources
    """
    if not _is_told(values.shape):
        return None
    common, by_cell = _strata(values)
    cells = len(values)
    parts = [(common, 1 / cells), (by_cell, (cells - 1) / cells)] if cells > 1 else [(common, 1.0)]
    return _components(values.shape, parts, block_effect=block_effect)


def of_differences(values: Floats, *, block_effect: bool) -> Components | None:
    """The variances of what a run does to its cell alone; a difference of two cells on one run has twice these. None
    where the layout can't tell them, as with one cell."""
    if len(values) < 2 or not _is_told(values.shape):
        return None
    return _components(values.shape, [(_strata(values)[1], 1.0)], block_effect=block_effect)


def _is_told(shape: tuple[int, ...]) -> bool:
    """Whether there are runs, and each source and the rest have degrees of freedom."""
    cells, blocks, *seeds = shape
    *sources, _, rest = _df(shape)
    return cells > 0 and blocks > 0 and len(seeds) > 1 and min(*sources, rest) > 0


def _strata(values: Floats) -> tuple[_Stratum, _Stratum]:
    """The mean squares of the mean over cells (times the cells), and of the deviations from it."""
    cells, df = len(values), _df(values.shape)
    effects = [np.broadcast_to(effect, values.shape) for effect in _effects(values)]
    means = [effect.mean(axis=0) for effect in effects]
    common = [cells * np.sum(mean**2) for mean in means]
    apart = [np.sum((effect - mean) ** 2) for effect, mean in zip(effects, means, strict=True)]
    kept = (cells - 1) * _equality(np.sum(effects[-1] ** 2, axis=tuple(range(1, values.ndim))), df[-1])
    whole = np.maximum(df, 1)  # an effect without degrees of freedom has no squares
    deviations = np.array(apart) / (whole * max(cells - 1, 1))
    return _Stratum(np.array(common) / whole, df), _Stratum(deviations, tuple(max(round(kept * n), 1) for n in df))


def _equality(squares: Floats, df: int) -> float:
    """The part of the degrees of freedom that is left where the cells' `squares` are pooled: 1 for equal variances. The
    chance in the squares, which makes equal variances look unequal, is taken out."""
    if df < 1 or not squares.any():
        return 1.0
    of_squares = np.sum(squares**2)
    left = (np.sum(squares) ** 2 - 2 / (df + 2) * of_squares) / (len(squares) * df / (df + 2) * of_squares)
    return min(float(left), 1.0)


def _effects(values: Floats) -> list[Floats]:
    """The effects of the sources, of the blocks and of the rest, to be broadcast to the shape of `values`."""
    axes = tuple(range(2, values.ndim))
    of_block = values.mean(axis=axes, keepdims=True)
    sources = [values.mean(axis=tuple({*axes} - {axis}), keepdims=True) - of_block for axis in axes]
    blocks = of_block - of_block.mean(axis=1, keepdims=True)
    return [*sources, blocks, values - of_block - sum(sources)]


def _df(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Degrees of freedom of the effects in one cell."""
    _, blocks, *seeds = shape
    sources = [blocks * (number - 1) for number in seeds]
    return (*sources, blocks - 1, blocks * (prod(seeds) - 1) - sum(sources))


def _components(shape: tuple[int, ...], parts: list[tuple[_Stratum, float]], *, block_effect: bool) -> Components:
    """The variances from the weighted mean squares of `parts`."""
    _, blocks, *seeds = shape
    block_effect = block_effect and blocks > 1
    used = [at for at in range(len(seeds) + 2) if block_effect or at != len(seeds)]
    weights = _weights(seeds, block_effect=block_effect)
    mean = sum(weight * part.squares[used] for part, weight in parts)
    drawn = sum(
        weight * part.squares[used] / _chi_squared(tuple(part.df[at] for at in used), number)
        for number, (part, weight) in enumerate(parts)
    )
    every = _summarised(np.maximum(weights @ mean, 0), np.asarray(drawn) @ weights.T)
    *sources, rest = every
    return Components(tuple(sources[: len(seeds)]), sources[-1] if block_effect else None, rest)


def _weights(seeds: list[int], *, block_effect: bool) -> Floats:
    """The variances (rows) as sums of the mean squares of sources, blocks if there are any, and rest."""
    number, runs = len(seeds), prod(seeds)
    columns = number + 1 + block_effect
    weights = np.zeros((columns, columns))
    for at, levels in enumerate(seeds):
        weights[at, at], weights[at, -1] = levels / runs, -levels / runs
    if block_effect:
        weights[number] = np.array([*[-1.0] * number, 1.0, number - 1.0]) / runs
    weights[-1, -1] = 1
    return weights


@cache
def _chi_squared(df: tuple[int, ...], number: int) -> Floats:
    """Draws (draws, df) of chi-squared / df; another `number` gives independent ones."""
    random = np.random.Generator(np.random.PCG64([_SEED, number]))
    return random.chisquare(df, size=(_DRAWS, len(df))) / df


def _summarised(estimates: Floats, drawn: Floats) -> list[Component]:
    """The components, from estimates (components) and draws (draws, components), which may be negative: cut at 0 one by
    one, they would add up to too much."""
    least = np.finfo(float).tiny
    whole, total = np.maximum(drawn.sum(axis=1, keepdims=True), least), max(float(estimates.sum()), least)
    ends = np.maximum(np.quantile(drawn, _TAILS, axis=0), 0)
    share_ends = np.quantile(np.clip(drawn / whole, 0, 1), _TAILS, axis=0)
    return [
        Component(*map(float, (estimate, *ends[:, at], estimate / total, *share_ends[:, at])))
        for at, estimate in enumerate(estimates)
    ]
