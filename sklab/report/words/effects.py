"""Main effects and interactions as rows of text, the same in every format, and what is to say about them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sklab.analysis.statistics.anova import Effect
from sklab.analysis.table.effects import ABSENT
from sklab.analysis.table.rows import AblationTable
from sklab.report.column import NOTHING, fixed, metric_digits, p_text
from sklab.report.escape import clean
from sklab.system.terminal import counted

EFFECT_HEAD = ("effect", "df", "F", "p", "share (%)", "95 % interval", "size (%)", "95 % interval")
MEANS_HEAD = ("factor", "level", "cells", "runs", "mean", "±95%")
EFFECT_LEGEND = (
    "share: of the spread that is left once seeds are taken out, with the 95 % interval of what it is without the part "
    "of chance; size: the effect against chance alone (partial omega squared) with its 95 % interval; higher order: "
    "what the cells hold beyond main effects and two-way interactions"
)
MEANS_LEGEND = (
    "means of the cells at a level, each cell counting alike; ±95%: for comparing levels, without what a seed does to "
    "all cells alike. In an unbalanced design levels meet different levels of the other factors, and these means show "
    "that too; the effects above do not"
)

Rows = tuple[tuple[str, ...], ...]


def effect_rows(table: AblationTable) -> Rows:
    """A row of text for each effect, in the columns of EFFECT_HEAD; none where there is no analysis."""
    analysis = table.effects.analysis
    return tuple(_effect(effect) for effect in analysis.effects) if analysis else ()


def means_rows(table: AblationTable) -> Rows:
    """A row of text for each level of each factor, in the columns of MEANS_HEAD."""
    digits = metric_digits(table.sweep.metric)
    return tuple(
        (clean(term[0]), _level(of.levels), str(of.cells), str(of.n), fixed(of.mean, digits), fixed(of.half, digits))
        for term, of_term in table.effects.means.items()
        if len(term) == 1
        for of in of_term
    )


def effects_said(table: AblationTable) -> tuple[str, ...]:
    """What is to say about the effects: why there are none, or how they were reckoned and what they leave out."""
    effects, analysis = table.effects, table.effects.analysis
    if analysis is None:
        return (f"No analysis of the factors: {effects.reason}.",)
    error = f"{counted(analysis.df, 'degree')} of freedom for error"
    first = f"Analysis of variance over {counted(analysis.n, 'run')}, seeds as blocks, {error}."
    unseen = ", ".join(" × ".join(map(clean, term)) for term in effects.inseparable)
    told = [f"These cells can't tell from others: {unseen}."] if unseen else []
    notes = [f"{clean(note)[:1].upper()}{clean(note)[1:]}." for note in effects.notes]
    return (first, *notes, *told)


def _effect(effect: Effect) -> tuple[str, ...]:
    p = NOTHING if math.isnan(effect.p) else p_text(effect.p)
    share, size = fixed(100 * effect.share, 1), fixed(100 * effect.size, 1)
    intervals = _interval(effect.share_low, effect.share_high), _interval(effect.low, effect.high)
    shares = share, intervals[0], size, intervals[1]
    return clean(effect.name), str(effect.df), fixed(effect.f, 2), p, *shares


def _interval(low: float, high: float) -> str:
    return NOTHING if math.isnan(low) else f"{100 * low:.0f} to {100 * high:.0f}"


def _level(levels: Sequence[str]) -> str:
    return clean(levels[0]) or ABSENT
