"""Small parts of sentences: counts, lists of names, a mean and a difference with its interval, a Pareto set."""

from __future__ import annotations

import math
from collections.abc import Iterable

from sklab.analysis.evidence.allocation import NextRuns
from sklab.analysis.statistics.compare import Versus
from sklab.analysis.table.looks import Seen
from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.escape import clean
from sklab.report.numbers import (
    NOTHING,
    chance_text,
    difference_size,
    ends,
    fixed,
    half_text,
    is_cut,
    limits,
    p_text,
    signed,
)
from sklab.spec.study.search import COST_NOUNS, Kind
from sklab.system.terminal import quantity

_MAY_BE_BEST = 0.05  # the least probability at which a cell is counted as one that may be the best
COST_NAMES = {"params": "params", "macs": "MACs", "latency_ms": "latency"}
_LISTED = 20  # names in a sentence, before it says how many more there are


def listed(names: Iterable[str]) -> str:
    """`names` as a list, cut short when there are many; with semicolons where a name contains a comma."""
    every = [clean(name) for name in names]
    more = f" and {len(every) - _LISTED} more" if len(every) > _LISTED else ""
    comma = "; " if any("," in name for name in every) else ", "
    return comma.join(every[:_LISTED]) + more


def value(table: AblationTable, row: Row) -> str:
    """`15.87 ± 2.23 % (n = 3)`; `2.15 % (0.00 to 4.30, n = 3)` where ± would leave what an error can be."""
    digits, unit = table.sweep.metric.measure.digits, table.sweep.metric.measure.unit
    within = limits(table.sweep.metric)
    if is_cut(row.mean, row.half, within):
        return f"{fixed(row.mean, digits)} {unit} ({half_text(row.mean, row.half, within, digits)}, n = {row.n})"
    half = "" if row.half is None else f" ± {fixed(row.half, digits)}"
    return f"{fixed(row.mean, digits)}{half}{unit and f' {unit}'} (n = {row.n})"


def points(table: AblationTable, number: float) -> str:
    """A difference without its sign: `3.30 points`, of a loss `0.0330`."""
    return difference_size(table.sweep.metric, number)


def difference(table: AblationTable, against: Versus) -> str:
    """`−3.30 ± 5.95, p = 0.308`."""
    digits = table.sweep.metric.measure.digits
    return f"{signed(against.difference, digits)} ± {fixed(against.half, digits)}, {p_equals(against.adjusted)}"


def interval(table: AblationTable, against: Versus) -> str:
    """`−2.40 to +0.10`; a dash where there is none."""
    least, most = limits(table.sweep.metric)
    low, high = ends(against.difference, against.half, (least - most, most - least))
    digits = table.sweep.metric.measure.digits
    return NOTHING if math.isnan(low) else f"{signed(low, digits)} to {signed(high, digits)}"


def likeliest(table: AblationTable) -> str:
    """The clause on the cell that is the likeliest to be the best; "" where the sweep does not ask for it."""
    row = table.likeliest
    if row is None or row.chance is None:
        return ""
    others = sum(other is not row and (other.chance or 0) >= _MAY_BE_BEST for other in table.rows)
    may_be = (
        f"; {quantity(others, 'other cell')} {'has' if others == 1 else 'have'} a P(best) of {_MAY_BE_BEST} or more"
        if others
        else ""
    )
    unit = table.sweep.metric.measure.unit
    shrunken = f"{fixed(row.shrunken, table.sweep.metric.measure.digits)}{unit and f' {unit}'}"
    name = f"the baseline {clean(row.name)} itself" if row.is_baseline else clean(row.name)
    return f"the likeliest best cell is {name}, P(best) = {chance_text(row.chance)}, shrunken mean {shrunken}{may_be}"


def looks_at(seen: Seen) -> str:
    """`3, then 6 seeds`; `3 (baseline: 9), then 6 seeds` where the baseline has more."""
    numbers = (
        f"{len(look.seeds)}{f' (baseline: {len(look.seeds) + len(look.baseline)})' if look.baseline else ''}"
        for look in seen.looks
    )
    return f"{', then '.join(numbers)} seeds"


def p_equals(p: float) -> str:
    """`p = 0.308`, `p < 0.001`."""
    text = p_text(p)
    return f"p {text if text.startswith('<') else f'= {text}'}"


def pareto_sentence(table: AblationTable) -> str:
    """The Pareto set by the means, the cheapest cell first; "" for a study with one objective."""
    against = table.sweep.search.second_objective if table.sweep.search else None
    if against is None or not table.pareto_front:
        return ""
    measure = table.sweep.metric.measure
    cells = "; ".join(f"{clean(row.name)}: {value(table, row)} at {_cost(row, against)}" for row in table.pareto_front)
    cells_stand = (
        "1 of the cells stands" if len(table.pareto_front) == 1 else f"{len(table.pareto_front)} of the cells stand"
    )
    return (
        f"Two objectives, so no single best cell. By their means {cells_stand} on the "
        f"Pareto set, where none with as few {COST_NOUNS[against]} has a "
        f"{measure.better} {measure.noun}: {cells}."
    )


def _cost(row: Row, against: Kind) -> str:
    return f"{getattr(row, against):,} {COST_NOUNS[against]}"


def next_runs_text(options: NextRuns, unit: str = "") -> str:
    """Which next runs narrow the intervals of the differences from the baseline most; `unit` follows a half width."""
    unit = unit if options.known else " times the spread of a run"
    now, every, own = (f"±{half:.2f}" for half in (options.now, options.every_half, options.baseline_half))
    which = "every other cell" if options.baseline_has_more else "every cell"
    seed = f"one more seed of {which} ({quantity(options.every_runs, 'run')})"
    alone = f"{quantity(options.baseline_runs, 'more seed')} of the baseline ({quantity(options.baseline_runs, 'run')})"
    start = f"Next runs: {{}} would narrow the interval of a difference from {now} to {{}}{unit}; "
    if options.differ is not None:
        rest = f"more seeds of the baseline alone do not count, as seeds differ ({p_equals(options.differ)})"
        return start.format(seed, every) + f"{rest}."
    if options.baseline_helps_more:
        return start.format(alone, own) + f"{seed} to {every}."
    return start.format(seed, every) + f"{alone} to {own}."
