"""The methods of comparison, as a line below the table and as a paragraph for a paper."""

from __future__ import annotations

import math

from sklab.analysis.statistics.boundaries import LATER, PLANNED
from sklab.analysis.statistics.checks import FAILS_BELOW, Choice
from sklab.analysis.statistics.intervals import ALPHA
from sklab.analysis.statistics.unpaired import DIFFER, Further
from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.escape import clean
from sklab.report.words.phrases import listed, looks_at, p_equals
from sklab.system.terminal import quantity

_POOLED = ("block", "one-way")  # the tests of a pooled table
_BLOCK = (
    "All cells share their seeds and are analysed as a randomised complete block design with the seed as block (Fisher "
    "1935). Differences from the baseline {baseline} have simultaneous 95 % intervals and adjusted p values of "
    "Dunnett's two-sided many-to-one test (Dunnett 1955). Because few seeds cannot show unequal variances, the "
    "baseline has a variance of its own, and each other cell the one common to them, moderated by its own (Smyth "
    "2004), together with {df} of freedom (Satterthwaite 1946). {noisy}{checks} "
)
_APART = (
    "Set apart {names}, plainly noisier than the others (p of Cochran's test below {limit}): {pronoun} is compared "
    "with the baseline by a paired t test over the shared seeds, at 1/{tests} of the 5 %, the other cells together at "
    "the rest. "
)
_NOISY_BASELINE = (
    "The baseline is plainly noisier than the other cells (p of Cochran's test below {limit}), which its own variance "
    "allows for. "
)
_POOLED_MEANS = (
    ", over new seeds: the variance of a run is estimated from the mean squares of seeds and of errors of all cells "
    "(Satterthwaite 1946){own}"
)
_GAPS = (
    "{gaps}: the model is fitted by least squares to the other runs (intra-block analysis, Yates 1936), each "
    "difference with the variance that its gaps leave it. "
)
_FURTHER = (
    "The baseline has {runs} with seeds that no other cell has. The shared seeds do not differ detectably (F test in "
    "the block design, {p}), so all runs are compared in a one-way layout: the variance within cells, seeds "
    "included, takes the place of that of the block design. Below {limit} the shared seeds alone would count. "
)
_FURTHER_LEFT = "The baseline has {runs} with seeds that no other cell has, which do not count here: {why}{p}. "
_PAIRS = (
    "Differences from the baseline {baseline} are tested cell by cell, with a two-sided paired t test over the shared "
    "seeds (Welch's t test where fewer than two are shared), p adjusted by Holm's method (Holm 1979) over the "
    "{tests} made, simultaneous 95 % intervals by Bonferroni. The analysis as one block design with pooled variance "
    "and Dunnett's test was not used: {why}. {checks} "
)
_EFFECTS = (
    "Effects of factors are from an analysis of variance with the seed as block and sums of squares of type II (Yates "
    "1934); the size of an effect is partial omega squared; its 95 % interval, and that of an effect's share with the "
    "other effects at their estimates, are from the noncentral F (Steiger 2004). "
)
_CONTRASTS = (
    "{which} are contrasts of the cells' means with the seed as block: each cell has a variance of its own, the "
    "degrees of freedom are Satterthwaite's (Satterthwaite 1946) in Welch's form (Welch 1947), and simultaneous 95 % "
    "intervals and adjusted p values are those of the multivariate t with the estimated correlations (Hasler 2008). "
    "Whether the pairs behind a difference agree is tested by the ANOVA-type statistic (Brunner 1997). "
)

# The table's differences and p use all seeds at hand and ignore the looks by which the seeds were chosen.
_ORIENTATION = (
    "Seeds were added where the data asked for them: the verdicts are those of group-sequential boundaries (Lan and "
    "DeMets, alpha spent as by O'Brien and Fleming), valid under repeated looking; differences, intervals and p below "
    "are not, and are for orientation. "
)
_SEQUENTIAL = (
    "Seeds were added cell by cell until the comparison with the baseline was decided. The verdicts are those of "
    "group-sequential boundaries with alpha spent over the looks (Lan and DeMets 1983; O'Brien and Fleming 1979) and "
    "shared among the cells after Holm (Maurer and Bretz 2013): 5 % over all cells and looks. The tests named next are "
    "of all seeds at hand and disregard the looks. "
)
_SEQUENTIAL_QUESTIONS = (
    "Seeds were added to the cells of a planned question until it was decided. The answers are those of "
    "group-sequential boundaries with alpha spent over the looks (Lan and DeMets 1983; O'Brien and Fleming 1979) and "
    "shared among the questions after Holm (Maurer and Bretz 2013): 5 % over all questions and looks. The tests named "
    "next are of all seeds at hand and disregard the looks. "
)
_SEQUENTIAL_BEST = (
    "Seeds were added, one each, to the two cells that were the likeliest to be the best (top-two sampling, Russo "
    "2020). Results decided which cells got more, so all tests are of the first seeds of each cell. "
)
_BEST = (
    "P(best) and shrunken means are those of a hierarchical model of all runs: levels of cells in one or two groups, "
    "equal in a group or normal; random seeds; a variance of each cell (Gibbs sampling, Gelman et al. 2013). "
)
_LOOKS = (
    "Verdicts were shown with {looks}. {plan} A new claim needs the level of a group-sequential boundary (Lan and "
    "DeMets 1983), to which its adjusted p value and interval are scaled; an earlier claim stands while all seeds "
    "carry it at 5 %. "
)


def comparison(table: AblationTable) -> str:
    """The line about the method, the reason for it and the results of its checks; "" where nothing is compared."""
    choice, baseline = table.choice, clean(table.sweep.baseline)
    if choice is None or not _tests(table):
        return ""
    checked = f" {_capital(_checked(choice))}." if _checked(choice) else ""
    return (
        f"{_ORIENTATION if table.race and not table.sweep.by_question else ''}{_how(table, choice, baseline, checked)}"
    )


def _how(table: AblationTable, choice: Choice, baseline: str, checked: str) -> str:
    if choice.method == "pooled":
        gaps = f"; {_gaps(table, choice)}; fitted by least squares" if choice.missing else ""
        return (
            f"Differences from {baseline} are tested by Dunnett's test, {_layout(choice, gaps)}. The variance is "
            f"pooled over the cells, but the baseline has its own; {_df(table)} of freedom{_noisy(table)}.{checked}"
        )
    return (
        f"Differences from {baseline} are tested cell by cell (paired t or Welch, p after Holm, intervals after "
        f"Bonferroni), not with a pooled variance: {choice.why}.{checked}"
    )


def _layout(choice: Choice, gaps: str) -> str:
    """The clause on blocks, or on further runs of the baseline that took their place or were left out."""
    if choice.further is None:
        return f"with seeds as blocks{gaps}"
    number, p = choice.further.runs, _p_of_seeds(choice.further)
    runs = f"{quantity(number, 'more run')} of the baseline"
    if choice.further.counts:
        counts = "counts" if number == 1 else "count"
        return f"in a one-way layout: {runs} {counts} unpaired, as seeds make no detectable difference{p}{gaps}"
    return f"with seeds as blocks; {runs} {'is' if number == 1 else 'are'} left out: {choice.further.why}{p}{gaps}"


def _p_of_seeds(further: Further) -> str:
    return "" if math.isnan(further.p) else f" ({p_equals(further.p)})"


def methods(table: AblationTable) -> str:
    """The paragraph that names the tests, ready for a paper."""
    return (
        f"Each number is the mean {table.sweep.metric.measure.title} over the seeds whose run is complete, "
        f"with a two-sided 95 % Student t interval{_spread_of_means(table)}. "
        f"{_sequential(table)}{_looks(table)}{_compared(table)}{_BEST if table.likeliest else ''}"
        f"{_contrasts(table)}{_EFFECTS if table.effects.analysis else ''}"
        "Only complete runs enter a number."
    )


def _sequential(table: AblationTable) -> str:
    if table.for_best is not None:
        return _SEQUENTIAL_BEST
    if table.race is None:
        return ""
    return _SEQUENTIAL_QUESTIONS if table.sweep.by_question else _SEQUENTIAL


def _looks(table: AblationTable) -> str:
    seen = table.looks
    if seen is None or not seen.corrected:
        return ""
    later = f"{100 * LATER:g} %"
    plan = (
        f"Looks at up to {seen.most_seeds} seeds were planned; they share {100 * PLANNED:g} % in proportion to the "
        f"seeds, looks at more seeds {later}."
        if seen.most_seeds
        else f"No more seeds were planned at the first look, which was at 5 %; later looks share {later}."
    )
    return _LOOKS.format(looks=looks_at(seen), plan=plan)


def _contrasts(table: AblationTable) -> str:
    planned = "The answers to the questions, which were stated before the runs," if table.questions else ""
    effects = (
        "the differences that each factor makes, all else equal, which were not planned," if table.unplanned else ""
    )
    families = " and, as a family of their own, ".join(filter(None, (planned, effects)))
    return _CONTRASTS.format(which=_capital(families)) if families else ""


def _spread_of_means(table: AblationTable) -> str:
    """The clause on the intervals of single means; "" where each rests on the runs of its own cell alone."""
    if table.choice is None or table.choice.method == "paired":
        return ""
    names = dict.fromkeys(row.name for row in table.rows if row in table.noisy or _has_further(table, row))
    return _POOLED_MEANS.format(own=listed(names) and f", that of {listed(names)} from its own runs")


def _has_further(table: AblationTable, row: Row) -> bool:
    return row.is_baseline and table.choice is not None and table.choice.further is not None


def _compared(table: AblationTable) -> str:
    choice = table.choice
    if choice is None or not _tests(table):
        return "No difference from the baseline could be tested. "
    checks = f"{_capital(_checked(choice))}." if _checked(choice) else ""
    names = {"baseline": clean(table.sweep.baseline), "checks": checks, "df": _df(table), "why": choice.why}
    gaps = _capital(_GAPS.format(gaps=_gaps(table, choice))) if choice.missing else ""
    text = _BLOCK if choice.method == "pooled" else _PAIRS
    return (
        gaps
        + _further(choice)
        + text.format(**names, noisy=_noisy_sentences(table), tests=quantity(_tests(table), "comparison")).replace(
            "  ", " "
        )
        + "The smallest detectable difference and the seeds needed are those of 80 % power by the noncentral t, with "
        "the spread as observed; effect sizes carry Hedges' correction. "
        f"A cell is called better or worse when its adjusted p is below {ALPHA}; undecided is no proof of equality. "
        f"The same test against the row of {table.sweep.metric.measure.best} mean shows which rows are worse than it. "
        "That row was chosen by the same data, which flatters its mean; the chance that the truly best cell is "
        "called worse stays at most 5 % (multiple comparisons with the best, Hsu 1984). "
    )


def _further(choice: Choice) -> str:
    further = choice.further
    if further is None:
        return ""
    runs = quantity(further.runs, "more run")
    if further.counts:
        return _FURTHER.format(runs=runs, p=p_equals(further.p), limit=DIFFER)
    return _FURTHER_LEFT.format(runs=runs, why=further.why, p=_p_of_seeds(further))


def _tests(table: AblationTable) -> int:
    return sum(row.baseline is not None and not math.isnan(row.baseline.p) for row in table.rows)


def _df(table: AblationTable) -> str:
    """The degrees of freedom of the pooled test, which are equal for all rows."""
    df = next((row.baseline.df for row in table.rows if row.baseline and row.baseline.test in _POOLED), math.nan)
    return f"{df:g} degree{'' if df == 1 else 's'}"


def _apart(table: AblationTable) -> list[str]:
    return [row.name for row in table.noisy if not row.is_baseline]


def _noisy(table: AblationTable) -> str:
    """A clause on each cell that is plainly noisier than the others."""
    apart, baseline = _apart(table), any(row.is_baseline for row in table.noisy)
    own = "is plainly noisier than the others and set apart, with a paired t test of its own"
    several = "are plainly noisier than the others and set apart, each with a paired t test of its own"
    clauses = [f"{listed(apart)} {own if len(apart) == 1 else several}"] if apart else []
    clauses += ["the baseline is plainly noisier than the others, which its own variance allows for"] * baseline
    return "".join(f"; {clause}" for clause in clauses)


def _noisy_sentences(table: AblationTable) -> str:
    """The sentences about these cells in the methods paragraph."""
    apart = _apart(table)
    names, pronoun = (f"is {listed(apart)}", "it") if len(apart) == 1 else (f"are {listed(apart)}", "each")
    sentences = _APART.format(names=names, limit=FAILS_BELOW, pronoun=pronoun, tests=_tests(table)) if apart else ""
    return sentences + (_NOISY_BASELINE.format(limit=FAILS_BELOW) if len(apart) < len(table.noisy) else "")


def _gaps(table: AblationTable, choice: Choice) -> str:
    """The clause on the runs that are missing; with replicates most of them were never requested."""
    if table.race:
        return "not all cells have all seeds"
    return f"{choice.missing} of {quantity(choice.planned, 'run')} {'is' if choice.missing == 1 else 'are'} missing"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _checked(choice: Choice) -> str:
    """The assumptions with the p of their checks, and the checks that could not be made; "" where none was asked
    for."""
    tests = {
        "equal variances (Cochran's test)": choice.variances,
        "additivity of cells and seeds (Tukey's test)": choice.additivity,
    }
    made = {name: check for name, check in tests.items() if check is not None and check.made}
    unmade = " and ".join(name for name in tests if name not in made)
    if not made:
        return f"too few cells or seeds to check {unmade}" if choice.method == "pooled" else ""
    failing = any(bool(check.fails) for check in made.values())
    verdict = "fails" if failing else "none fails" if len(made) == len(tests) else "does not fail"
    others = [" on the other cells"] if choice.noisy else []
    where = ",".join(others + [" on the part of the table without gaps"] * bool(choice.missing))
    results = ", ".join(f"{name} {p_equals(float(check.p))}" for name, check in made.items())
    left = f"; too few cells or seeds to check {unmade}" if unmade else ""
    return f"checked{where}: {results}: {verdict} (p below {FAILS_BELOW}){left}"
