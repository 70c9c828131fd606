"""The verdict of a study in a few sentences: what matters, what is open, what it would cost; and effects as rows of
text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sklab.analysis.statistics.anova import Effect
from sklab.analysis.statistics.planning import MOST_SEEDS
from sklab.analysis.table.rows import AblationTable, BaselineVerdict, Row
from sklab.report.escape import clean
from sklab.report.numbers import NOTHING, can_be_found, fixed, p_text
from sklab.report.words import cautions
from sklab.report.words.answers import Grid, answers, effects, matched_grids, opened, planned
from sklab.report.words.phrases import difference, likeliest, listed, next_runs_text, pareto_sentence, points, value
from sklab.store.states import UNENDED
from sklab.system.terminal import quantity

_DECIDED: tuple[BaselineVerdict, ...] = ("better", "worse", "equivalent", "not worse")
_NAMED = 3  # cells in a sentence, the largest differences first
_EFFECT_HEAD = ("effect", "df", "F", "p", "share (%)", "95 % interval", "size (%)", "95 % interval")
_EFFECT_LEGEND = (
    "share: of the spread that is left once seeds are taken out, with the 95 % interval of what it is without the part "
    "of chance; size: the effect against chance alone (partial omega squared) with its 95 % interval; higher order: "
    "what the cells hold beyond main effects and two-way interactions"
)


def result(table: AblationTable, attention: str = "") -> str:
    """The first paragraph: the answers to the questions. Before the first result it says that there is none.

    `attention` is the sentence on how attention changes as objects grow; it comes first where no question is planned.
    """
    return _paragraphs(table, attention)[0]


def further(table: AblationTable, attention: str = "") -> tuple[str, ...]:
    """The further paragraphs: what else matters, what is open and what it would cost, every cell against the
    baseline."""
    return _paragraphs(table, attention)[1:]


@dataclass(frozen=True)
class Top:
    """What stands at the top of a page: one sentence, the answer to the first question; those to the others; cautions
    that change how all of them are read."""

    sentence: str
    others: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()


def top(table: AblationTable, attention: str = "") -> Top:
    """The top of the page. Without planned questions it says how attention changes, which factors matter, or which
    cells differ from the baseline: the first of these that can be said."""
    if table.best is None:
        return Top(result(table))
    asked = planned(table) or tuple(filter(None, (attention, *effects(table)[-1:])))
    many = sum(row.verdict is not None for row in table.rows) > _NAMED
    first, *others = asked or (next(filter(None, _against(table, counted=many))),)
    return Top(first, tuple(others), _cautions(table))


def rest(table: AblationTable, attention: str = "") -> tuple[str, ...]:
    """The results that `top` leaves out, each a sentence or a few."""
    if table.best is None:
        return ()
    first = top(table, attention)
    every = (attention, *effects(table), *opened(table), *_against(table, counted=True))
    return tuple(result for result in every if result and result not in (first.sentence, *first.others))


def _cautions(table: AblationTable) -> tuple[str, ...]:
    finished = all(run.state not in UNENDED for row in table.rows for run in row.runs)
    every = ("" if finished else "The study is not finished.", cautions.looks(table), cautions.learning(table))
    return tuple(filter(None, every))


def _paragraphs(table: AblationTable, attention: str) -> tuple[str, ...]:
    if table.best is None:
        finished = all(run.state not in UNENDED for row in table.rows for run in row.runs)
        return (f"No run is complete{'' if finished else ' yet'}, so there is nothing to compare.",)
    answered = answers(table)
    at = 1 if table.questions and answered else 0
    first, *others = filter(None, (*answered[:at], attention, *answered[at:], against_baseline(table)))
    return (" ".join((first, *_cautions(table))), *others)


def against_baseline(table: AblationTable) -> str:
    """The paragraph on the cells that differ from the baseline, those that are open, and the costs of the
    best mean."""
    return " ".join(sentence for sentence in _against(table) if sentence)


def _against(table: AblationTable, *, counted: bool = False) -> tuple[str, ...]:
    """The sentences of that paragraph, "" for one that says nothing. Beside a table, cells are `counted`, not named."""
    best, baseline = table.best, table.baseline
    if best is None:
        return ()
    if baseline is None:
        name = clean(table.sweep.baseline)
        chosen = likeliest(table)
        lowest = (
            f"{chosen[:1].upper()}{chosen[1:]}" or f"{_capital(table)} mean: {clean(best.name)}, {value(table, best)}"
        )
        return (f"{lowest}.", f"The baseline {name} has no complete run, so nothing is compared with it.")
    price = "" if table.pareto_front else _price(table.likeliest or best, baseline, chosen=table.likeliest is not None)
    unit = " points" if table.sweep.metric.measure.unit else ""
    advice = next_runs_text(table.next_runs, unit) if table.next_runs else ""
    decided = _counted(table, baseline) if counted else (_decided(table, best, baseline),)
    return (pareto_sentence(table), *decided, _open(table), advice, price)


def _counted(table: AblationTable, baseline: Row) -> tuple[str, ...]:
    """How many cells have each verdict, and the likeliest best cell."""
    counts = Counter(row.verdict for row in table.rows if row.verdict)
    if not counts:
        return (f"So far only the baseline {clean(baseline.name)}, {value(table, baseline)}, has a complete run.",)
    verdicts = (*_DECIDED, "undecided", "no test")
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in verdicts if counts[verdict])
    chosen = likeliest(table)
    which = f"{chosen[:1].upper()}{chosen[1:]}." if chosen else ""
    cells = quantity(counts.total(), "cell")
    return (f"Compared with the baseline {clean(baseline.name)}, {value(table, baseline)}: of {cells} {told}.", which)


def _decided(table: AblationTable, best: Row, baseline: Row) -> str:
    """The cells that differ from the baseline, with difference and certainty, and the best mean."""
    compared = f"the baseline {clean(baseline.name)}, {value(table, baseline)}"
    if not any(row.verdict for row in table.rows):
        return f"So far only {compared}, has a complete run."
    clauses = [cells for verdict in _DECIDED if (cells := _cells_with(table, verdict))]
    if not clauses and any(row.verdict == "undecided" for row in table.rows):
        clauses.append("no cell differs significantly from it")
    if not table.pareto_front:
        clauses.append(likeliest(table) or _lowest(table, best))
    return f"Against {compared}: {'; '.join(clauses)}." if clauses else ""


def _cells_with(table: AblationTable, verdict: BaselineVerdict) -> str:
    rows = _by_size([row for row in table.rows if row.verdict == verdict])
    if not rows:
        return "none is shown to be better" if verdict == "better" and _cells_with(table, "worse") else ""
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    named = [f"{clean(row.name)} ({difference(table, row.baseline)})" for row in rows[:_NAMED] if row.baseline]
    return f"{verdict} {'is' if len(rows) == 1 else 'are'} {', '.join(named)}{more}"


def _lowest(table: AblationTable, best: Row) -> str:
    if best.is_baseline:
        return f"the baseline itself has the {table.sweep.metric.measure.best} mean{_near(table)}"
    by = "" if best.verdict == "better" or best.baseline is None else f" ({difference(table, best.baseline)})"
    shown = f"{value(table, best)}{by if best.verdict != 'no test' else ''}"
    return f"the {table.sweep.metric.measure.best} mean is that of {clean(best.name)}, {shown}{_near(table)}"


def best_sentence(table: AblationTable) -> str:
    """Which cell is the best, or between which it is undecided; "" before two cells have numbers."""
    best = table.best
    near = [row.name for row in table.rows if row.n and row.standing in ("best", "not distinguishable")]
    if best is None or table.pareto_front or sum(row.n > 0 for row in table.rows) < 2:
        return ""
    if table.winner:
        return f"Best cell: {clean(best.name)}; every other cell is significantly worse."
    if len(near) < 2:
        return f"Best cell: undecided; the seeds allow no test against {clean(best.name)}."
    mean = f"{clean(best.name)} has the {table.sweep.metric.measure.best} mean"
    return f"Best cell: undecided between {len(near)} cells ({listed(near)}); {mean}."


def _near(table: AblationTable) -> str:
    """The clause on the cells that do not differ significantly from the best mean."""
    others = [row for row in table.rows if row.n and row.standing != "best"]
    near = sum(row.standing == "not distinguishable" for row in others)
    differ = "does" if near == 1 else "do"
    return (
        f"; {near} of the other {quantity(len(others), 'cell')} {differ} not differ significantly from it"
        if near
        else ""
    )


def _open(table: AblationTable) -> str:
    """The sentence on the cells that are undecided, and the seeds that they would need."""
    rows = [row for row in table.rows if row.verdict == "undecided"]
    untested = sum(row.verdict == "no test" for row in table.rows)
    silent = f"{quantity(untested, 'cell')} could not be tested" if untested else ""
    if not rows:
        return silent and f"{silent}."
    power = _power([row.baseline.detectable for row in rows if row.baseline and row.baseline.detectable > 0], table)
    cells = f"{len(rows)} of {quantity(sum(row.verdict is not None for row in table.rows), 'cell')}"
    needed = _needed(table, [row for row in rows if row.guessing is None])
    return f"Undecided {'is' if len(rows) == 1 else 'are'} {cells}{power}{needed}{silent and f'; {silent}'}."


def _power(detectable: Sequence[float], table: AblationTable) -> str:
    """The clause on the smallest of the `detectable` differences; "" where there is none."""
    if not detectable:
        return ""
    least = min(detectable)
    size = f"only for differences of at least {points(table, least)}"
    return (
        f": these seeds have 80 % power {size if can_be_found(table, least) else 'for no difference that is possible'}"
    )


def _needed(table: AblationTable, rows: Sequence[Row]) -> str:
    """The fewest and the most seeds to add, over the undecided rows that seeds can help."""
    missing = [(row.seeds_missing, clean(row.name)) for row in rows if row.seeds_missing is not None]
    beyond = len(rows) - len(missing)
    never = f"{quantity(beyond, 'cell')} would need more than {MOST_SEEDS}" if beyond else ""
    if not missing:
        return never and f"; {never}"
    (fewest, first), (most, last) = min(missing), max(missing)
    enough = f"{quantity(fewest, 'more seed')} would probably settle {first}"
    others = f" and {most} more {last}" if len(missing) > 1 else ""
    later = cautions.added_seeds(table)
    return f"; if the true differences are as observed, {enough}{others}{never and f'; {never}'}{later}"


def _capital(table: AblationTable) -> str:
    return table.sweep.metric.measure.best.capitalize()


def _price(best: Row, baseline: Row, *, chosen: bool) -> str:
    """Parameters and multiply-accumulates of the best row against the baseline's."""
    if best.is_baseline or not (best.params and best.macs and baseline.params and baseline.macs):
        return ""
    which = "The likeliest best cell" if chosen else f"The {best.measure.best} mean"
    if (best.params, best.macs) == (baseline.params, baseline.macs):
        return f"{which} costs as many parameters and multiply-accumulates as the baseline."
    params, macs = best.params / baseline.params, best.macs / baseline.macs
    return (
        f"{which} costs {fixed(params, 2)} times the baseline's parameters ({best.params:,} against "
        f"{baseline.params:,}) and {fixed(macs, 2)} times its multiply-accumulates."
    )


def _by_size(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: -abs(row.baseline.difference) if row.baseline else 0.0)


def effect_grids(table: AblationTable) -> tuple[Grid, ...]:
    """The matched difference of every level, and the analysis of variance, as far as there are any."""
    analysis = table.effects.analysis
    rows = tuple(_effect(effect) for effect in analysis.effects) if analysis else ()
    variance = (Grid("Analysis of variance", _EFFECT_HEAD, rows, _EFFECT_LEGEND),) if rows else ()
    return (*matched_grids(table), *variance)


def effect_sentences(table: AblationTable) -> tuple[str, ...]:
    """The sentences about effects: why there are none, or how they were computed and which are left out."""
    found, analysis = table.effects, table.effects.analysis
    lone = ", ".join(map(clean, found.unmatched))
    unmatched = [f"No two cells differ in one of these alone, so their effects are not known: {lone}."] if lone else []
    if analysis is None:
        return (f"No analysis of variance: {found.reason}.", *unmatched)
    error = f"{quantity(analysis.df, 'degree')} of freedom for error"
    first = f"Analysis of variance over {quantity(analysis.n, 'run')}, seeds as blocks, {error}."
    unseen = ", ".join(" × ".join(map(clean, term)) for term in found.inseparable)
    inseparable_terms = [f"These cells can't separate from other effects: {unseen}."] if unseen else []
    notes = [f"{clean(note)[:1].upper()}{clean(note)[1:]}." for note in found.notes]
    return (first, *notes, *inseparable_terms, *unmatched)


def _effect(effect: Effect) -> tuple[str, ...]:
    p = NOTHING if math.isnan(effect.p) else p_text(effect.p)
    share, size = fixed(100 * effect.share, 1), fixed(100 * effect.size, 1)
    intervals = _interval(effect.share_low, effect.share_high), _interval(effect.low, effect.high)
    shares = share, intervals[0], size, intervals[1]
    return clean(effect.name), str(effect.df), fixed(effect.f, 2), p, *shares


def _interval(low: float, high: float) -> str:
    return NOTHING if math.isnan(low) else f"{100 * low:.0f} to {100 * high:.0f}"
