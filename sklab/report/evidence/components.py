"""What a report says of the sources of chance, where the sweep varies them apart."""

from __future__ import annotations

from collections.abc import Sequence

from sklab.analysis.evidence.components import Chance
from sklab.analysis.table.rows import AblationTable
from sklab.analysis.variance.components import Component
from sklab.report.numbers import NOTHING, fixed
from sklab.report.words.answers import Grid
from sklab.system.terminal import quantity

_NEGLIGIBLE = 0.1  # of the variance: without it an interval is 5 % narrower
_NOUNS = {"init": "initialisation", "order": "order of the images", "augment": "augmentation", "split": "split"}
_TITLE = "Spread between runs, by source"
_LEGEND = (
    "sd: standard deviation of the {metric} of one run{unit}, due to this source; share: of the variance of a run; in "
    "differences: the same of what a source does to each cell apart, for what moves all cells alike drops out of "
    "differences on the same runs. With 95 % intervals, one by one, from {layout}. Rest: what the sources do together, "
    "and what no seed decides"
)


def chance_sentences(table: AblationTable) -> tuple[str, ...]:
    """The paragraphs; none for a study that varies no source apart."""
    chance = table.sources
    if chance is None:
        return ()
    return tuple(filter(None, (_coverage(chance), _advice(chance))))


def chance_grids(table: AblationTable) -> tuple[Grid, ...]:
    """The table of the sources; none where the runs don't tell them apart."""
    chance = table.sources
    if chance is None or chance.runs is None:
        return ()
    metric = table.sweep.metric
    unit = f" ({'points' if metric.measure.unit else metric.measure.title})"
    head = ("source", "seeds", "sd", "95 % interval", "share", "95 % interval", "share in differences", "95 % interval")
    rows = tuple(_row(row, metric.measure.digits) for row in _rows(chance))
    layout = f"{quantity(chance.blocks, 'block')} of {chance.vary.block} runs in {quantity(len(chance.cells), 'cell')}"
    return (Grid(_TITLE, head, rows, _LEGEND.format(metric=metric.measure.title, unit=unit, layout=layout)),)


_Row = tuple[str, str, Component, Component | None]


def _rows(chance: Chance) -> list[_Row]:
    """Name, number of seeds, and the components of a run and of a difference."""
    runs, differences = chance.runs, chance.differences
    assert runs is not None
    apart: Sequence[Component | None] = differences.sources if differences else [None] * len(runs.sources)
    seeds = [str(chance.blocks * chance.vary.fresh[name]) for name in chance.crossed]
    nouns = [_NOUNS[name] for name in chance.crossed]
    rows: list[_Row] = list(zip(nouns, seeds, runs.sources, apart, strict=True))
    if runs.blocks:
        named = " and ".join(_NOUNS[name] for name in chance.with_block)
        rows.append((named, str(chance.blocks), runs.blocks, differences.blocks if differences else None))
    return [*rows, ("rest", NOTHING, runs.rest, differences.rest if differences else None)]


def _row(row: _Row, digits: int) -> tuple[str, ...]:
    name, seeds, run, apart = row
    sd, *ends = (fixed(variance**0.5, digits) for variance in (run.variance, run.low, run.high))
    return (name, seeds, sd, " to ".join(ends), *_share(run), *(_share(apart) if apart else (NOTHING, NOTHING)))


def _share(part: Component) -> tuple[str, str]:
    return f"{part.share:.0%}".replace("%", " %"), f"{100 * part.share_low:.0f} to {100 * part.share_high:.0f} %"


def _coverage(chance: Chance) -> str:
    """What is new in which runs, and so what an interval of the table holds for."""
    vary, fresh = chance.vary, [_NOUNS[name] for name in chance.vary.fresh]
    if vary.block == 1:
        how = f"Every run has a new {_and(fresh)}."
    else:
        counts = _and([f"{number} {_seeds_of(name, number)}" for name, number in vary.fresh.items()])
        how = (
            f"Blocks of {vary.block} runs cross {counts}, and every block has new ones. Runs of a block are not "
            f"independent, so the table compares means of blocks: n and seeds to add count blocks."
        )
    fixed_ones = [_NOUNS[name] for name in chance.fixed]
    same = f", with the {_and(fixed_ones)} that all runs share" if fixed_ones else ""
    return f"{how} An interval holds for any other {_and(fresh)}{same}."


def _seeds_of(name: str, number: int) -> str:
    noun = "order" if name == "order" else _NOUNS[name]
    return noun + ("s" if number > 1 else "")


def _advice(chance: Chance) -> str:
    """Which source matters, which may be fixed, and what to vary for the smallest interval."""
    found = chance.judged
    if found is None:
        return _why_not(chance)
    rows = [(name, apart or run) for name, _, run, apart in _rows(chance)]
    name, largest = max(rows, key=lambda row: row[1].share)
    of = "the variance of a difference" if chance.differences else "the variance of a run"
    shares = " (95 % interval {1})".format(*_share(largest))
    most = f"The largest part of {of} is that of the {name}: {_share(largest)[0]}{shares}."
    return " ".join([most, _may_be_fixed(rows[:-1]), _best_layout(chance)])


def _may_be_fixed(rows: Sequence[tuple[str, Component]]) -> str:
    small = [name for name, part in rows if part.share_high < _NEGLIGIBLE]
    if small:
        return f"The {_and(small)} may be fixed: below {_NEGLIGIBLE:.0%}".replace("%", " %") + " of it by these runs."
    return f"No source is surely below {100 * _NEGLIGIBLE:.0f} % of it, so none may be fixed without loss."


def _best_layout(chance: Chance) -> str:
    every = ", ".join(chance.vary.fresh)
    return (
        f"The narrowest intervals of as many runs come from new seeds in each, vary: [{every}]: about "
        f"{chance.width_of_list:.2f} times the width, and more degrees of freedom."
    )


def _why_not(chance: Chance) -> str:
    if len(chance.crossed) < 2:
        return (
            "What each source adds is not known: that takes two sources with two seeds or more in a block, as "
            "in vary: {init: 2, order: 2}."
        )
    waiting = "no cell has all runs of a block" if not chance.cells else f"there is {quantity(chance.blocks, 'block')}"
    return f"What each source adds is not known yet: {waiting}."


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
