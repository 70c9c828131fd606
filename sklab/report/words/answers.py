"""The answers to a study's questions: as sentences, with which a report begins, and as rows of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sklab.analysis.statistics.intervals import ALPHA
from sklab.analysis.statistics.planning import MOST_SEEDS
from sklab.analysis.table.questions import Answer
from sklab.analysis.table.rows import AblationTable
from sklab.report.escape import clean
from sklab.report.numbers import NO_TEST, NONE_POSSIBLE, NOTHING, can_differ, fixed, p_text, signed, size_text
from sklab.report.words import cautions
from sklab.report.words.phrases import interval, listed, p_equals, points
from sklab.system.terminal import duration, quantity

_HEAD = ("question", "difference", "95 % interval", "p (adjusted)", "answer", "detectable", "more seeds", "pairs")
_LEGEND = (
    "difference: mean over the pairs of cells, negative is a lower {metric}; 95 % interval and p (adjusted): hold for "
    "all lines together; detectable: the smallest true difference that this study finds with 80 % probability; more "
    "seeds: to add to each cell of the question until a true difference as large as the observed one is found with 80 "
    "% probability"
)
_PAIR_HEAD = ("question", "pair", "seeds", "difference", "95 % interval", "p")
_PAIR_LEGEND = "each pair of cells by itself: these intervals and p hold one by one"
_SHOWN = 3  # effects in a sentence
Rows = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Grid:
    """A table of texts with its legend: words in the first column, numbers in most of the others."""

    title: str
    head: tuple[str, ...]
    rows: Rows
    legend: str


def answers(table: AblationTable) -> tuple[str, ...]:
    """Three paragraphs: the answers to the questions, the factors that matter, and the open questions with what they
    would cost. None where nothing can be answered."""
    asked = table.questions or table.effects.matched
    if not any(answer.versus.n for answer in asked):
        return ()
    sentences = [_answered(table, answer) for answer in table.questions]
    paragraphs = (sentences, effects(table), opened(table))
    return tuple(" ".join(paragraph) for paragraph in paragraphs if paragraph)


def planned(table: AblationTable) -> tuple[str, ...]:
    """A short sentence for each planned question; none where nothing can be answered."""
    if not any(answer.versus.n for answer in table.questions):
        return ()
    return tuple(_answered(table, answer, brief=True) for answer in table.questions)


def remarks(table: AblationTable) -> tuple[str, ...]:
    """What the short sentences leave out: questions whose pairs disagree, and pairs without runs enough."""
    apart = [answer for answer in table.questions if answer.agreement < ALPHA]
    named = "; ".join(f"{clean(answer.name)} ({p_equals(answer.agreement)})" for answer in apart)
    missing = "; ".join(clean(str(pair)) for answer in table.questions for pair in answer.left_out)
    return tuple(
        f"{begin}: {what}."
        for begin, what in (("The size differs between pairs", named), ("Left out, without runs enough", missing))
        if what
    )


def _answered(table: AblationTable, answer: Answer, *, brief: bool = False) -> str:
    name = clean(answer.name)
    name, against = f"{name[:1].upper()}{name[1:]}", answer.versus
    if math.isnan(against.difference):
        return f"{name}: no answer yet, since {against.reason}."
    pairs = quantity(len(answer.pairs), "pair") + " of cells" if len(answer.pairs) > 1 and not brief else ""
    based = ", ".join(filter(None, [pairs, quantity(against.n, "seed")]))
    if math.isnan(against.adjusted):
        return f"{name}: {_signed(table, against.difference)} ({based}), without a test: {against.reason}."
    detail = f"({interval(table, answer.versus)}, {p_equals(against.adjusted)}; {based})"
    return f"{name} {_claim(table, answer)} {detail}.{'' if brief else _caveats(answer)}"


def _claim(table: AblationTable, answer: Answer) -> str:
    metric, size = table.sweep.metric.measure.title, points(table, answer.versus.difference)
    observed = _signed(table, answer.versus.difference)
    match answer.verdict:
        case "lower":
            return f"lowers the {metric} by {size}"
        case "higher":
            return f"raises the {metric} by {size}"
        case "equivalent":
            return f"makes no difference of {_margin(table)} or more: {observed}"
        case "not higher":
            return f"does not raise the {metric} by {_margin(table)} or more: {observed}"
        case "not lower":
            return f"does not lower the {metric} by {_margin(table)} or more: {observed}"
    return f"makes no detectable difference: {observed}"


def _margin(table: AblationTable) -> str:
    """The margin; where there is none, the width down to which seeds are added."""
    rule, margin = table.sweep.replicates, table.sweep.margin
    size = rule.width if margin is None and rule else margin
    return size_text(table.sweep.metric, size or 0.0)


def _signed(table: AblationTable, difference: float) -> str:
    return f"{'−' if difference < 0 else '+'}{points(table, difference)}"


def _caveats(answer: Answer) -> str:
    apart = answer.agreement < ALPHA
    sentence = f" The size differs between its pairs ({p_equals(answer.agreement)})." if apart else ""
    missing = "; ".join(clean(str(pair)) for pair in answer.left_out)
    return sentence + (f" Without runs enough, and left out: {missing}." if missing else "")


def effects(table: AblationTable) -> list[str]:
    """The sentence about the factors that matter, the largest effect first; only matched cells are compared. Before it,
    where no question was planned, one that says so."""
    matched = table.unplanned
    ranked = sorted(matched, key=lambda answer: -abs(answer.versus.difference))
    decided = [answer for answer in ranked if answer.verdict in ("lower", "higher")]
    more = len(decided) - _SHOWN
    others = f"; {quantity(more, 'more factor')} {'changes' if more == 1 else 'change'} it as well" if more > 0 else ""
    unplanned = " (not planned)" if table.questions else ""
    first = [] if table.questions else ["No question was planned, so the factors are compared like with like."]
    if decided:
        named = _enumerated([_effect(table, answer, at) for at, answer in enumerate(decided[:_SHOWN])])
        return [*first, f"All else equal{unplanned}, {named}{others}."]
    if matched and any(not math.isnan(answer.versus.adjusted) for answer in matched):
        return [*first, f"All else equal{unplanned}, no factor makes a detectable difference."]
    return []


def _effect(table: AblationTable, answer: Answer, at: int) -> str:
    """The clause on a factor that matters, at this place among them."""
    verb = "lowers" if answer.verdict == "lower" else "raises"
    what = "it" if at else f"the {table.sweep.metric.measure.title}"
    size = f"{points(table, answer.versus.difference)} ({interval(table, answer.versus)})"
    return f"{clean(answer.name)} {verb} {what} by {size}"


def _enumerated(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def opened(table: AblationTable) -> list[str]:
    """The sentences about the open questions: what the study could have shown, and what it would cost to answer
    them."""
    asked = table.questions or table.effects.matched
    if not any(answer.versus.n for answer in asked):
        return []
    undecided = [answer for answer in asked if answer.verdict in ("undecided", "not higher", "not lower")]
    if not undecided:
        return []
    names, few = listed(answer.name for answer in undecided), undecided[:_SHOWN]
    possible = [answer for answer in few if can_differ(table.sweep.metric, answer.versus.detectable)]
    power = "; ".join(f"{points(table, answer.versus.detectable)} ({clean(answer.name)})" for answer in possible)
    differences = f"only for differences of at least {power}" if possible else "for no difference that is possible"
    costs = "; ".join(_cost(table, answer) for answer in few)
    return [
        f"Open: {names}. This study has 80 % power {differences}. If the true differences are as observed: {costs}"
        f"{cautions.added_seeds(table) if any(answer.versus.missing for answer in few) else ''}."
    ]


def _cost(table: AblationTable, answer: Answer) -> str:
    name = clean(answer.name)
    cells = {name for pair, _ in answer.pairs for name in (*pair.cells, *pair.against)}
    rows = [row for row in table.rows if row.name in cells]
    if any(row.guessing is not None for row in rows):
        return f"more seeds do not help {name}, as nothing was learned in a cell of it"
    if answer.versus.missing is None:
        return f"{name} would take more than {MOST_SEEDS} seeds"
    seconds = [row.train_seconds for row in rows if row.train_seconds is not None]
    runs = answer.versus.missing * len(rows)
    time = f", {duration(answer.versus.missing * sum(seconds))} of training" if len(seconds) == len(rows) else ""
    more = quantity(answer.versus.missing, "more seed")
    return f"{more} in {quantity(len(rows), 'cell')} ({quantity(runs, 'run')}{time}) would probably settle {name}"


def answer_sentence(table: AblationTable, answer: Answer) -> str:
    """The answer to one question of the table, in a sentence or two."""
    return _answered(table, answer)


def question_grids(table: AblationTable) -> tuple[Grid, ...]:
    """The planned questions with their answers, and the pairs behind them; none without questions."""
    return _grids(table, table.questions, "Answers to the planned questions")


def matched_grids(table: AblationTable) -> tuple[Grid, ...]:
    """The matched difference of every level, and the pairs behind them; none where no two cells differ in one factor
    alone."""
    return _grids(table, table.unplanned, "Each factor, all else equal (not planned)")


def _grids(table: AblationTable, family: Sequence[Answer], title: str) -> tuple[Grid, ...]:
    if not family:
        return ()
    legend = _LEGEND.format(metric=table.sweep.metric.measure.title)
    answers_grid = Grid(title, _HEAD, tuple(_row(table, answer) for answer in family), legend)
    pairs = _pair_rows(table, family)
    return (answers_grid, Grid("The pairs behind them", _PAIR_HEAD, pairs, _PAIR_LEGEND)) if pairs else (answers_grid,)


def _row(table: AblationTable, answer: Answer) -> tuple[str, ...]:
    against, digits = answer.versus, table.sweep.metric.measure.digits
    p = NO_TEST if math.isnan(against.adjusted) else p_text(against.adjusted)
    more = f">{MOST_SEEDS}" if answer.versus.missing is None else str(answer.versus.missing)
    decided = answer.verdict in ("lower", "higher", "equivalent", "no test")
    return (
        clean(answer.name),
        signed(against.difference, digits),
        interval(table, answer.versus),
        p,
        answer.verdict,
        fixed(against.detectable, digits) if can_differ(table.sweep.metric, against.detectable) else NONE_POSSIBLE,
        NOTHING if decided else more,
        str(len(answer.pairs)),
    )


def _pair_rows(table: AblationTable, family: Sequence[Answer]) -> Rows:
    digits = table.sweep.metric.measure.digits
    return tuple(
        (
            clean(answer.name),
            clean(str(pair)),
            str(against.n),
            signed(against.difference, digits),
            interval(table, against),
            NO_TEST if math.isnan(against.p) else p_text(against.p),
        )
        for answer in family
        if len(answer.pairs) > 1
        for pair, against in answer.pairs
        if not math.isnan(against.difference)
    )
