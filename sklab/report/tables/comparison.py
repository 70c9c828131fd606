"""The columns of the comparisons: with the baseline, with the best cell, of the likeliest best cell."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from sklab.analysis.statistics.compare import Versus
from sklab.analysis.statistics.planning import MOST_SEEDS
from sklab.analysis.table.rows import AblationTable, Row, Standing
from sklab.report.escape import clean
from sklab.report.numbers import (
    NO_TEST,
    NONE_POSSIBLE,
    NOTHING,
    bounded,
    can_be_found,
    chance_text,
    fixed,
    p_text,
    signed,
    size_text,
)
from sklab.report.tables.column import GROUP, Column, Text
from sklab.report.words.phrases import COST_NAMES

STANDINGS: dict[Standing, str] = {
    "best": "best",
    "not distinguishable": "undecided",
    "worse": "worse",
    "cannot tell": NO_TEST,
}


def comparison(table: AblationTable) -> tuple[Column, ...]:
    """The columns of differences, from left to right."""
    chosen = _on_front(table) if table.pareto_front else _against_best(table)
    return (*_difference(table), *_verdicts(table), *_planned(table), chosen, _pareto(table))


def best_columns(table: AblationTable, group: str) -> tuple[Column, ...]:
    """The columns on the best cell, under the heading `group`."""
    if table.likeliest is None:
        return ()
    digits, best = table.sweep.metric.measure.digits, table.sweep.metric.measure.best
    chance = (
        f"Probability that the cell's mean over new seeds is the {best} of all, by a hierarchical model of all runs."
    )
    shrunken = f"The mean that this model expects, nearer to the other cells': the {best} of many means is partly luck."
    return (
        Column("p_best", "P(best)", group, "P(best)", chance, lambda row: chance_text(row.chance), "P(best)"),
        Column(
            "shrunken",
            "shrunken mean",
            group,
            "shrunken",
            shrunken,
            lambda row: fixed(row.shrunken, digits),
            "shrunken",
        ),
    )


def _difference(table: AblationTable) -> tuple[Column, ...]:
    digits = table.sweep.metric.measure.digits
    points = " in percentage points" if table.sweep.metric.measure.unit else ""
    sign = "negative" if table.sweep.metric.measure.better == "lower" else "positive"
    mean = f"Mean difference from the baseline{points}; {sign} is better."
    half = "Half width of its simultaneous 95 % interval: in 95 of 100 studies the intervals of all rows hold."
    new = "The same for new seeds and new images, of which these images are a sample; p and verdict are for new seeds."
    halves = table.images.halves if table.images else {}
    of_images = Column(
        "diff_half_images",
        "±95% for new images",
        GROUP,
        "±95% for new images",
        new,
        lambda row: fixed(halves.get(row.name), digits),
        "",
    )
    return (
        Column(
            "diff_mean", GROUP, GROUP, "mean", mean, _versus(lambda versus: signed(versus.difference, digits)), "diff"
        ),
        Column(
            "diff_half",
            "±95% (all rows)",
            GROUP,
            "±95%",
            half,
            _versus(lambda versus: fixed(versus.half, digits)),
            "±95%",
        ),
        *([of_images] if halves else []),
        Column("p", "p (adjusted)", GROUP, "p (adjusted)", _p_legend(table), _versus(_adjusted), "p adj."),
        Column(
            "df", "df", GROUP, "df", "Degrees of freedom of that test.", _versus(lambda versus: fixed(versus.df, 1)), ""
        ),
    )


def _p_legend(table: AblationTable) -> str:
    test = "Dunnett's test on the block design"
    if table.choice is None or table.choice.method == "paired":
        test = "paired t test (Welch's where fewer than two seeds are shared), Holm-adjusted"
    elif apart := [clean(row.name) for row in table.noisy if not row.is_baseline]:
        test = f"{test}, a paired t test of its own for {' and '.join(apart)} (Bonferroni)"
    return f"Two-sided p of that difference, adjusted for all rows: {test}; no test: the seeds allow none."


def _verdicts(table: AblationTable) -> tuple[Column, ...]:
    legend = (
        f"Better or worse than the baseline: adjusted p below 0.05; {_within(table)}undecided: these seeds do not "
        "settle it, which is no proof of equality; no test: a note says why."
    )
    effect = "The difference in standard deviations of one seed's difference, with Hedges' correction for few seeds."
    return (
        Column(
            "verdict", "verdict", GROUP, "verdict", legend, lambda row: row.verdict or NOTHING, "verdict", numeric=False
        ),
        Column(
            "effect", "effect size", GROUP, "effect size", effect, _versus(lambda versus: signed(versus.effect, 2)), ""
        ),
    )


def _within(table: AblationTable) -> str:
    if table.sweep.margin is None:
        return ""
    margin = size_text(table.sweep.metric, table.sweep.margin)
    beyond = f"below {margin}" if table.sweep.metric.measure.better == "lower" else f"above −{margin}"
    return f"equivalent: all of the interval is within {margin} of 0; not worse: all of it is {beyond}; "


def _planned(table: AblationTable) -> tuple[Column, ...]:
    learned = "; –: at chance level" if any(row.guessing is not None for row in table.rows) else ""
    beyond = any(row.baseline and not can_be_found(table, row.baseline.detectable) for row in table.rows)
    none = (
        f"; {NONE_POSSIBLE}: larger than {bounded(table.sweep.metric)} within 0 and 100 % can differ from the baseline"
        if beyond
        else ""
    )
    detectable = f"The smallest true difference that these seeds find with 80 % probability{none}."
    more = (
        "Seeds to add to find a true difference as large as the observed one with 80 % probability; 0: "
        f"significant already{learned}."
    )
    return (
        Column("detectable", "detectable", GROUP, "detectable", detectable, _versus(partial(_detectable, table)), ""),
        Column("more_seeds", "more seeds", GROUP, "more seeds", more, _more_seeds, "seeds+"),
    )


def _detectable(table: AblationTable, against: Versus) -> str:
    is_possible = can_be_found(table, against.detectable)
    return fixed(against.detectable, table.sweep.metric.measure.digits) if is_possible else NONE_POSSIBLE


def _against_best(table: AblationTable) -> Column:
    best = table.sweep.metric.measure.best
    legend = (
        f"The same test against the cell of the {best} mean: worse (adjusted p below 0.05), undecided, or no test. "
        f"That cell itself is the best one where all others are worse, else only the {best}."
    )

    def text(row: Row) -> str:
        return best if row is table.best and row is not table.winner else STANDINGS.get(row.standing, "")

    return Column("best", "against best", "", "against best", legend, text, "vs best", numeric=False)


def _on_front(table: AblationTable) -> Column:
    names = {row.name for row in table.pareto_front}
    against = table.sweep.search.second_objective if table.sweep.search else None
    cost, measure = COST_NAMES[against] if against else "", table.sweep.metric.measure
    legend = (
        f"Front: no row of at most as many {cost} has a {measure.better} mean {measure.noun}; what of that is beyond "
        "chance stands under Pareto set."
    )
    head = f"{measure.noun} and {cost}"
    return Column(
        "front", head, "", head, legend, lambda row: "front" if row.name in names else "", head, numeric=False
    )


def _pareto(table: AblationTable) -> Column:
    measure = table.sweep.metric.measure
    legend = (
        f"The costs for which no row that costs no more has a significantly {measure.better} {measure.noun} "
        "(Holm over all pairs)."
    )

    def text(row: Row) -> str:
        return ", ".join(COST_NAMES[cost] for cost in row.pareto) or NOTHING

    return Column("pareto", "Pareto set", "", "Pareto set", legend, text, "", numeric=False)


def _versus(text: Callable[[Versus], str]) -> Text:
    return lambda row: NOTHING if row.baseline is None or not row.n else text(row.baseline)


def _adjusted(against: Versus) -> str:
    return NO_TEST if math.isnan(against.adjusted) else p_text(against.adjusted)


def _more_seeds(row: Row) -> str:
    if row.baseline is None or not row.baseline.test or row.guessing is not None:
        return NOTHING
    return f">{MOST_SEEDS}" if row.seeds_missing is None else str(row.seeds_missing)
