"""The effects of a sweep's factors: its analysis of variance, or the reason why it has none, and matched
differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from sklab.analysis.statistics.anova import Anova, analyse
from sklab.analysis.statistics.intervals import FloatArray
from sklab.analysis.table.questions import Answer, answered
from sklab.spec.study.questions import level_of, pairs_of, questions_of_factors
from sklab.spec.study.sweep import Sweep

MOST_RUNS = 2000  # least squares over that many runs takes seconds

Term = tuple[str, ...]


@dataclass(frozen=True)
class Effects:
    """The effects of a sweep; `analysis` is None where `reason` says why.

    inseparable  terms without a line, because these cells can't tell them from others
    notes        notes on this analysis, for example on its balance
    matched      for every level of every factor, the difference over cells that differ in that factor alone: a family
                 of its own, not planned. Empty where these would repeat the table's comparisons with the baseline
    unmatched    factors of which no two cells differ in that factor alone
    """

    analysis: Anova | None = None
    reason: str = ""
    inseparable: tuple[Term, ...] = ()
    notes: tuple[str, ...] = ()
    matched: tuple[Answer, ...] = ()
    unmatched: tuple[str, ...] = ()


NO_EFFECTS = Effects(reason="no cells")


def effects_of(sweep: Sweep, values: FloatArray) -> Effects:
    """The effects from `values` (cells, seeds; NaN: no run), with the cells in the order of the sweep."""
    factors = _factors(sweep)
    matched, unmatched = _matched(sweep, values, list(factors))
    reason = _reason(sweep, values, factors)
    if reason:
        return Effects(reason=reason, matched=matched, unmatched=unmatched)
    interactions = _interact(sweep)
    seeds = np.tile(np.arange(values.shape[1]), len(values)).tolist()
    of_runs = {name: np.repeat(levels, values.shape[1]).tolist() for name, levels in factors.items()}
    analysis = analyse(values.ravel(), of_runs, seeds, interactions=interactions)
    terms = [term for size in ((1, 2) if interactions else (1,)) for term in combinations(factors, size)]
    there = {effect.factors for effect in analysis.effects}
    inseparable = tuple(term for term in terms if term not in there)
    return Effects(analysis, "", inseparable, tuple(_notes(sweep, values, analysis)), matched, unmatched)


def _matched(sweep: Sweep, values: FloatArray, factors: Sequence[str]) -> tuple[tuple[Answer, ...], tuple[str, ...]]:
    """The matched difference of every level, and the factors that have none."""
    if sweep.design == "search" or np.count_nonzero(~np.isnan(values)) > MOST_RUNS:
        return (), ()
    cells = (*sweep.cells, *sweep.duplicates)
    asked = questions_of_factors(cells, factors, sweep.baseline, balanced=sweep.fraction is not None)
    paired = {name: question for name, question in asked.items() if pairs_of(question, cells)}
    matched = answered(sweep, paired, values)
    if all(_is_of_baseline(sweep, answer) for answer in matched):
        return (), _unmatched(factors, matched)  # the table's own comparisons
    return matched, _unmatched(factors, matched)


def _is_of_baseline(sweep: Sweep, answer: Answer) -> bool:
    """Whether a question is about the baseline and one other cell."""
    first, *others = [pair for pair, _ in answer.pairs] + list(answer.left_out)
    return not others and len(first.cells) == 1 and (sweep.baseline,) in (first.cells, first.against)


def _unmatched(factors: Sequence[str], matched: Sequence[Answer]) -> tuple[str, ...]:
    compared = {answer.question.of for answer in matched}
    return tuple(name for name in factors if name not in compared)


def _interact(sweep: Sweep) -> bool:
    """Whether the design can show any interaction of two factors."""
    one_at_a_time = sweep.design in ("ofat", "leave_one_out")
    return not one_at_a_time and (sweep.fraction is None or sweep.fraction.resolution > 3)


def _factors(sweep: Sweep) -> dict[str, list[str]]:
    """The level of each cell, for every factor with at least two levels."""
    names = sweep.factors or dict.fromkeys(name for cell in sweep.cells for name in cell.factors)
    levels = {name: [level_of(cell, name) for cell in sweep.cells] for name in names}
    return {name: of_cells for name, of_cells in levels.items() if len(set(of_cells)) > 1}


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
    """The clause on the number of combinations of the design that have a run; "" where all have one. A whole fraction
    is balanced."""
    if sweep.fraction is None:
        combinations = f"{analysis.combinations} of {analysis.full} combinations of levels and seeds"
        return "" if analysis.balanced else combinations
    seeds = int(np.count_nonzero(~np.isnan(values).all(axis=0)))
    planned = (len(sweep.cells) + len(sweep.duplicates) + len(sweep.invalid)) * seeds
    full = planned * int(sweep.fraction.share.removeprefix("1/"))
    combinations = f"{analysis.n} of the fraction's {planned} combinations of levels and seeds (of {full})"
    return "" if analysis.n == planned else combinations
