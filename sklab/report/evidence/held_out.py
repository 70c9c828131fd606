"""The test split in a report: its columns, the claim of a study that chose by validation images, and its readings."""

from __future__ import annotations

import math

from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.escape import clean
from sklab.report.numbers import fixed
from sklab.report.words.phrases import difference, points
from sklab.spec.study.sweep import Sweep
from sklab.system.terminal import quantity


def claims(table: AblationTable) -> tuple[str, ...]:
    """The first paragraph of a study that chose cells or epochs by validation images and has a test split."""
    paragraph = " ".join(claim_sentences(table))
    return (paragraph,) if paragraph else ()


def claim_sentences(table: AblationTable) -> tuple[str, ...]:
    """Its sentences: the claim, then what its figures rest on; before the split is read, only a caution."""
    held, what = table.held_out, _chosen(table.sweep)
    if held is None or not what or table.best is None:
        return ()
    if not held.values:
        when = "is read once, when every run has ended"
        return (f"{what} chosen by validation images, so the figures below flatter. The test split {when}.",)
    best, baseline = table.best, table.baseline
    on = held.rows[best.name]
    against = ""
    if baseline is not None and on.baseline is not None:
        other = f"{_figure(table, baseline)} of the baseline {clean(baseline.name)}"
        against = f", against {other} ({difference(table, on.baseline)})"
    validation = f"{fixed(best.mean, table.sweep.metric.measure.digits)} {table.sweep.metric.measure.unit}".strip()
    gap = f"the test is {points(table, on.gap)} {'worse' if table.sweep.metric.measure.sign * on.gap > 0 else 'better'}"
    return (
        f"On the test split, by which nothing was chosen, {clean(best.name)} has {_figure(table, best)}{against}.",
        f"{what} chosen by validation images, where it has {validation}: {gap}. What follows is of validation images.",
    )


def _chosen(sweep: Sweep) -> str:
    """What was chosen by validation images; "" for a study that planned its cells and takes the last epoch."""
    if sweep.metric.epoch == "best":
        return "The cell and the epoch of each run were"
    return "The cell was" if sweep.search else ""


def _figure(table: AblationTable, row: Row) -> str:
    assert table.held_out is not None
    on, metric = table.held_out.rows[row.name], table.sweep.metric
    digits, unit = metric.measure.digits, metric.measure.unit
    half = "" if math.isnan(on.half) else f" ± {fixed(on.half, digits)}"
    return f"{fixed(on.mean, digits)}{half}{unit and f' {unit}'} (n = {on.n})"


def reading_sentences(table: AblationTable) -> tuple[str, ...]:
    """When the test split was read and with which runs; none for a study without one."""
    held = table.held_out
    if held is None:
        return ()
    damaged = tuple(f"Caution: {clean(fault)}." for fault in held.faults)
    mixed = ("Caution: runs were evaluated on different test images, so their figures can't be compared.",)
    first = held.readings[0] if held.readings else None
    if first is None:
        told = "The test split has not been read: that is done once, when every run has ended."
        return (told if not held.values else "When the test split was read is not known.", *damaged)
    later = [
        f"on {reading.dated[:10]} with {quantity(reading.runs, 'run')} that {_were(reading.runs)} added after that"
        for reading in held.readings[1:]
    ]
    unread = [f"{quantity(held.unread, 'complete run')} {_have(held.unread)} not been read"] if held.unread else []
    told = f"with {quantity(first.runs, 'run')} of {quantity(first.seeds, 'seed')}"
    rest = "".join(f"; {clause}" for clause in (*later, *unread))
    return (f"The test split was read on {first.dated[:10]} {told}{rest}.", *damaged, *(mixed if held.mixed else ()))


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _have(number: int) -> str:
    return "has" if number == 1 else "have"
