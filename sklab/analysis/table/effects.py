"""Which factor matters, and which two together: the analysis of variance of a sweep, or the reason why it has none."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from scipy.special import stdtrit

from sklab.analysis.statistics.anova import Anova, analyse
from sklab.analysis.statistics.intervals import LEVEL, FloatArray
from sklab.spec.study.sweep import Cell, Sweep

MOST_RUNS = 2000  # least squares over that many runs takes seconds
ABSENT = "–"  # the level of a cell that has none

Term = tuple[str, ...]


@dataclass(frozen=True)
class LevelMean:
    """The mean of the cells at one level of a factor, or at one level of each of two; each cell counts alike.

    levels   in the order of the factors
    cells    with a complete run, and `n` such runs
    half     half width of the 95 % interval for what the cells differ by: without what a seed does to all alike. NaN
             where nothing is left to judge chance by
    """

    levels: tuple[str, ...]
    cells: int
    n: int
    mean: float
    half: float


@dataclass(frozen=True)
class Effects:
    """`analysis` is None exactly where `reason` says why.

    inseparable  terms that have no line because these cells can't tell them from others
    notes        what else to know of this analysis, balance included
    means        of each factor, and for interaction plots of each pair of factors, the means by level
    """

    analysis: Anova | None = None
    reason: str = ""
    inseparable: tuple[Term, ...] = ()
    notes: tuple[str, ...] = ()
    means: Mapping[Term, tuple[LevelMean, ...]] = field(default_factory=dict)


NO_EFFECTS = Effects(reason="no cells")


def effects_of(sweep: Sweep, values: FloatArray) -> Effects:
    """Main effects and two-way interactions over `values` (cells, seeds; NaN: no run), in the order of the sweep."""
    factors = _factors(sweep)
    reason = _reason(sweep, values, factors)
    if reason:
        return Effects(reason=reason)
    interactions = _interact(sweep)
    seeds = np.tile(np.arange(values.shape[1]), len(values)).tolist()
    of_runs = {name: np.repeat(levels, values.shape[1]).tolist() for name, levels in factors.items()}
    analysis = analyse(values.ravel(), of_runs, seeds, interactions=interactions)
    terms = [term for size in ((1, 2) if interactions else (1,)) for term in combinations(factors, size)]
    there = {effect.factors for effect in analysis.effects}
    inseparable = tuple(term for term in terms if term not in there)
    means = {term: tuple(_means(values, factors, term, analysis)) for term in terms}
    return Effects(analysis, "", inseparable, tuple(_notes(sweep, values, analysis)), means)


def _interact(sweep: Sweep) -> bool:
    """Whether the design can show any interaction of two factors."""
    one_at_a_time = sweep.design in ("ofat", "leave_one_out")
    return not one_at_a_time and (sweep.fraction is None or sweep.fraction.resolution > 3)


def _factors(sweep: Sweep) -> dict[str, list[str]]:
    """The level of each cell, for every factor with at least two levels."""
    names = sweep.factors or dict.fromkeys(name for cell in sweep.cells for name in cell.factors)
    levels = {name: [_level(cell, name) for cell in sweep.cells] for name in names}
    return {name: of_cells for name, of_cells in levels.items() if len(set(of_cells)) > 1}


def _level(cell: Cell, name: str) -> str:
    return cell.factors.get(name) or ABSENT


def _reason(sweep: Sweep, values: FloatArray, factors: Mapping[str, Sequence[str]]) -> str:
    runs = int(np.count_nonzero(~np.isnan(values)))
    if sweep.design == "search":
        return "a search chooses its cells by their results, which would flatter the factors it followed"
    if not factors:
        return "no factor has two levels"
    if sweep.design == "list" and all(len(set(levels)) == len(levels) for levels in factors.values()):
        return "no two cells share a level of a factor"
    if runs > MOST_RUNS:
        return f"{runs} runs are more than the {MOST_RUNS} that it is made for"
    return "" if np.count_nonzero(~np.isnan(values).all(axis=1)) > 1 else "fewer than two cells have a complete run"


def _notes(sweep: Sweep, values: FloatArray, analysis: Anova) -> Iterator[str]:
    if lacking := _lacking(sweep, values, analysis):
        yield f"unbalanced: {lacking} have a run; sums of squares are of type II and do not add up"
    if analysis.df < 1:
        yield "no test: one run per combination leaves nothing to judge chance by"
    if sweep.design in ("ofat", "leave_one_out"):
        yield "factors were moved one at a time, so nothing is known of their interactions"
    if sweep.fraction and sweep.fraction.resolution == 3:
        yield "resolution III: main effects are confused with two-way interactions, which are taken to be nil"
    if sweep.fraction and sweep.fraction.aliases:
        yield f"one and the same in this fraction: {'; '.join(sweep.fraction.aliases)}"


def _lacking(sweep: Sweep, values: FloatArray, analysis: Anova) -> str:
    """How many combinations of the design have a run; "" where all of them have one. A whole fraction is balanced."""
    if sweep.fraction is None:
        told = f"{analysis.combinations} of {analysis.full} combinations of levels and seeds"
        return "" if analysis.balanced else told
    seeds = int(np.count_nonzero(~np.isnan(values).all(axis=0)))
    planned = (len(sweep.cells) + len(sweep.duplicates) + len(sweep.invalid)) * seeds
    full = planned * int(sweep.fraction.share.removeprefix("1/"))
    told = f"{analysis.n} of the fraction's {planned} combinations of levels and seeds (of {full})"
    return "" if analysis.n == planned else told


def _means(
    values: FloatArray, factors: Mapping[str, Sequence[str]], term: Term, analysis: Anova
) -> Iterator[LevelMean]:
    """In the order of the cells."""
    of_cells = list(zip(*(factors[name] for name in term), strict=True))
    counts = np.count_nonzero(~np.isnan(values), axis=1)
    for levels in dict.fromkeys(of_cells):
        at = [row for row, of_cell in enumerate(of_cells) if of_cell == levels and counts[row]]
        if at:
            means = [float(np.nanmean(values[row])) for row in at]
            half = _half(counts[at].tolist(), analysis)
            yield LevelMean(levels, len(at), int(counts[at].sum()), math.fsum(means) / len(at), half)


def _half(counts: Sequence[int], analysis: Anova) -> float:
    if analysis.df < 1:
        return math.nan
    variance = analysis.squares / analysis.df * math.fsum(1 / count for count in counts) / len(counts) ** 2
    return float(stdtrit(analysis.df, 0.5 + LEVEL / 2)) * math.sqrt(variance)
