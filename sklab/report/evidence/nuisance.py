"""What a report says of settings that every cell tuned: over which values, which one each cell got, and whether
verdicts are others without tuning."""

from __future__ import annotations

import math
from collections.abc import Iterator

from sklab.analysis.evidence.nuisance import Tuned, Tuning, edges
from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.escape import clean
from sklab.report.numbers import NOTHING, fixed
from sklab.report.words.answers import Grid
from sklab.report.words.phrases import listed
from sklab.spec.study.nuisance import named
from sklab.system.terminal import quantity

_TITLE = "Settings that each cell tuned"
_HEAD = ("cell", "own setting", "tuning", "mean", "verdict", "mean untuned", "verdict untuned")
_LEGEND = (
    "own setting: the one of {best} mean on the seeds of tuning, where equal the experiment's own; tuning: that mean"
    "{unit}; mean and verdict: at the own setting, on the seeds of the study; untuned: the same at {common}, the "
    "experiment's own setting, over {n} complete runs each or as stated"
)


def tuning_result(table: AblationTable) -> tuple[str, ...]:
    """The paragraph on what was tuned and which verdicts that changes; none where nothing is tuned."""
    tuning = table.tuning
    if tuning is None:
        return ()
    if not tuning.stage.done:
        waiting = "cells without a setting of their own stand in the table at the experiment's"
        return (f"Under way: {clean(str(tuning.stage))}; {waiting}.",)
    runs = f"{quantity(tuning.stage.runs, 'run')} in all, none of which is in the table"
    return (f"Every cell tuned {clean(str(tuning.nuisance))}, {runs}. {_verdicts(table, tuning)}",)


def _verdicts(table: AblationTable, tuning: Tuning) -> str:
    """Which verdicts are others at the experiment's own setting."""
    pairs = [(row, tuning.untuned[row.name]) for row in table.rows if row.name in tuning.untuned and row.verdict]
    measured = [(row, untuned) for row, untuned in pairs if untuned.verdict not in (None, "no test")]
    common = clean(named(tuning.nuisance.common))
    unmeasured = len(pairs) - len(measured)
    unknown = f" Not measured without tuning: {quantity(unmeasured, 'comparison')}." if unmeasured else ""
    if not measured:
        return f"Whether verdicts change was not measured: too few runs at {common} are complete."
    changed = [
        f"{clean(row.name)} is {untuned.verdict} there, {row.verdict} tuned"
        for row, untuned in measured
        if row.verdict != untuned.verdict
    ]
    if not changed:
        return f"Without tuning, at {common} for all, every verdict is the same.{unknown}"
    number = f"{len(changed)} of {quantity(len(measured), 'verdict')}"
    verb = "is" if len(changed) == 1 else "are"
    return f"Without tuning, at {common} for all, {number} {verb} another: {'; '.join(changed)}.{unknown}"


def tuning_sentences(table: AblationTable) -> tuple[str, ...]:
    """The cautions: values at the edge of those tried, and tuning runs without a number."""
    tuning = table.tuning
    if tuning is None:
        return ()
    at_edge = [f"{cell.name} ({_edge(tuning, cell)})" for cell in tuning.cells if edges(tuning.nuisance, cell)]
    short = [path for path, values in tuning.nuisance.settings.items() if len(values) == 2]
    doubtful = [cell.name for cell in tuning.cells if tuning.is_in_doubt(cell)]
    without = [text for cell in tuning.cells for text in _without_number(tuning, cell)]
    texts = (
        f"The best value is the first or last of those tried, and a better one may lie beyond: {listed(at_edge)}."
        if at_edge
        else "",
        f"Two values do not show whether a better one lies beyond them: {listed(short)}." if short else "",
        _doubt(tuning, doubtful) if doubtful else "",
        f"Tuning runs without a number lose: {listed(without)}." if without else "",
    )
    return tuple(text for text in texts if text)


def _doubt(tuning: Tuning, cells: list[str]) -> str:
    number = f"{len(cells)} of {quantity(len(tuning.cells), 'cell')} ({listed(cells)})"
    return (
        f"Another setting may be the best of {number}: over {quantity(tuning.nuisance.seeds, 'seed')} its mean is "
        "within two standard errors of the chosen one's. A cell that is not at its best looks worse than it is; more "
        "`tuning_seeds` would tell."
    )


def _edge(tuning: Tuning, cell: Tuned) -> str:
    setting = tuning.setting(cell, cell.chosen)
    return named({path: setting[path] for path in edges(tuning.nuisance, cell)})


def _without_number(tuning: Tuning, cell: Tuned) -> Iterator[str]:
    for at, mean in enumerate(cell.means):
        if not cell.left and not math.isfinite(mean):
            how = "diverged" if math.isinf(mean) else "failed"
            yield f"{cell.name} at {named(tuning.setting(cell, at))} ({how})"


def tuning_grids(table: AblationTable) -> tuple[Grid, ...]:
    """A row per cell: its setting, and its result with and without tuning. None where nothing is tuned."""
    tuning = table.tuning
    if tuning is None:
        return ()
    unit = table.sweep.metric.measure.unit
    legend = _LEGEND.format(
        unit=f" in {unit}" if unit else "",
        best=table.sweep.metric.measure.best,
        common=named(tuning.nuisance.common),
        n=len(table.sweep.seeds),
    )
    rows = {row.name: row for row in table.rows}
    return (Grid(_TITLE, _HEAD, tuple(_row(table, tuning, cell, rows[cell.name]) for cell in tuning.cells), legend),)


def _row(table: AblationTable, tuning: Tuning, cell: Tuned, row: Row) -> tuple[str, ...]:
    digits, untuned = table.sweep.metric.measure.digits, tuning.untuned[cell.name]
    mean = cell.means[cell.chosen]
    few = f" (n = {untuned.n})" if untuned.n != len(table.sweep.seeds) and untuned.n else ""
    return (
        cell.name,
        "still tuning" if cell.left else named(tuning.setting(cell, cell.chosen)),
        fixed(mean, digits) if math.isfinite(mean) and not cell.left else NOTHING,
        NOTHING if row.mean is None else fixed(row.mean, digits),
        "baseline" if row.is_baseline else row.verdict or NOTHING,
        NOTHING if untuned.mean is None else f"{fixed(untuned.mean, digits)}{few}",
        "baseline" if row.is_baseline else untuned.verdict or NOTHING,
    )
