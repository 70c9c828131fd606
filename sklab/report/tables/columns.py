"""The columns of the printed table with their units and words, which are the same in every format."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sklab.analysis.evidence.blocks import block_size
from sklab.analysis.evidence.held_out import OnTest
from sklab.analysis.table.rows import AblationTable, Also, AtSize, Row
from sklab.report.escape import clean
from sklab.report.numbers import ERRORS, NOTHING, any_cut, fixed, half_text, is_cut, limits, signed
from sklab.report.tables.column import GROUP, Column, compared
from sklab.report.tables.comparison import best_columns, comparison
from sklab.report.tables.costs import cost_columns, published_columns
from sklab.spec.study.sweep import Metric

_POWER = ("n", GROUP, "±95% (all rows)", "verdict", "detectable", "more seeds")  # titles of columns
_CUT = "; where it would leave 0 to 100 %, its two ends, cut there"
_CELL = "One configuration of the design."


def columns(table: AblationTable) -> tuple[Column, ...]:
    """The columns of this study, from left to right."""
    return (
        *_identity(table),
        *_result(table),
        *(column for name in table.sweep.also for column in _also(table, name)),
        *_held_out(table),
        *comparison(table),
        *(column for size in table.sweep.sizes for column in _at_size(table, size)),
        *cost_columns(table),
        *published_columns(table.sweep),
    )


def power_columns(table: AblationTable) -> list[Column]:
    """The columns about power: what the seeds of each row could show."""
    return [column for column in columns(table) if column.title in _POWER]


def power_rows(table: AblationTable) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table about power."""
    shown = power_columns(table)
    rows = [[row.name, *(column.text(row) for column in shown)] for row in compared(table)]
    return ["cell", *(column.title for column in shown)], rows


@dataclass(frozen=True)
class Heading:
    """A heading over the columns `start` to `end`, counted from 1; "" over columns that stand alone."""

    text: str
    start: int
    end: int

    @property
    def span(self) -> int:
        """The number of columns below it."""
        return self.end - self.start + 1


def headings(shown: Sequence[Column]) -> list[Heading]:
    """The upper line of the table's head."""
    numbered = groupby(enumerate(shown, start=1), key=lambda column: column[1].group)
    spans = [(group, [number for number, _ in members]) for group, members in numbered]
    return [Heading(group, numbers[0], numbers[-1]) for group, numbers in spans]


def gap(shown: Sequence[Column]) -> slice:
    """The first columns side by side that are empty in a row without a complete run; the reason stands there."""
    first = next((at for at, column in enumerate(shown) if column.measured), len(shown))
    past = next((at for at, column in enumerate(shown) if at > first and not column.measured), len(shown))
    return slice(first, past)


def _identity(table: AblationTable) -> tuple[Column, ...]:
    informative = [name for name in table.sweep.columns if any(row.factors.get(name) != row.name for row in table.rows)]
    runs = "Complete runs of those planned, one per seed; no other run enters a number."
    if (size := block_size(table.sweep)) > 1:
        runs = f"Whole blocks of {size} complete runs, of those planned; no other run enters a number."
    return (
        Column("cell", "cell", "", "cell", _CELL, lambda row: clean(row.name), "cell", False, False),
        *(_factor(name) for name in informative),
        Column("n", "n", "", "n", runs, lambda row: f"{row.n}/{row.planned}", "n", measured=False),
    )


def _factor(name: str) -> Column:
    def text(row: Row) -> str:
        return clean(row.factors.get(name, NOTHING))

    return Column(
        clean(name), clean(name), "", clean(name), "A factor of the design: the cell's level.", text, "", False, False
    )


def _result(table: AblationTable) -> tuple[Column, ...]:
    metric, within = table.sweep.metric, limits(table.sweep.metric)
    unit, digits = metric.measure.unit, metric.measure.digits
    group = metric.measure.heading
    better = f"{metric.measure.better} is better"
    mean = f"Mean {metric.measure.title} of the n runs, each at its {metric.epoch} epoch; {better}."
    half = (
        f"Half width of the mean's 95 % t interval over new seeds, its spread {_spread(table)}; –: the seeds allow none"
        f"{_CUT if any_cut(table.rows, within) else ''}."
    )

    def interval(row: Row) -> str:
        return half_text(row.mean, row.half, within, digits)

    return (
        Column(
            "mean",
            group,
            group,
            "mean",
            mean,
            lambda row: fixed(row.mean, digits),
            f"{metric.measure.noun} {unit}".strip(),
        ),
        Column("sd", "sd", group, "sd", "Standard deviation of these runs.", lambda row: fixed(row.sd, digits), ""),
        Column("half", "±95%", group, "±95%", half, interval, "±95%"),
        *best_columns(table, group),
    )


def _spread(table: AblationTable) -> str:
    """Says from which runs the spread behind the interval of a mean comes."""
    if table.choice is None or table.choice.method == "paired":
        return "that of its own runs"
    noisy = " and ".join(clean(row.name) for row in table.noisy)
    return f"that of all cells{noisy and f' (for {noisy}, of its own runs)'}"


def _also(table: AblationTable, name: str) -> tuple[Column, ...]:
    metric = Metric(name=name, epoch=table.sweep.metric.epoch)
    measure, unit, digits = metric.measure, metric.measure.unit, metric.measure.digits
    group = metric.measure.heading
    mean = (
        f"Mean {metric.measure.title} of the runs that have it, at the {metric.epoch} epoch; {measure.better} is "
        "better; not tested."
    )

    def of(row: Row) -> Also:
        return row.also.get(name, Also(0, None, None))

    short = f"{measure.noun} {unit}".strip()
    return (
        Column(name, group, group, "mean", mean, lambda row: fixed(of(row).mean, digits), short),
        Column(
            f"{name}_sd",
            f"sd ({measure.noun})",
            group,
            "sd",
            "Standard deviation of these runs.",
            lambda row: fixed(of(row).sd, digits),
            "",
        ),
    )


def _at_size(table: AblationTable, size: int) -> tuple[Column, ...]:
    group = f"error at {size} px (%)"
    mean = f"Mean error of the last epoch's weights on validation images of {size} pixels a side; lower is better."
    n = f"Complete runs evaluated at {size} pixels, of those planned."
    half = "Half width of the 95 % t interval of that mean"

    def there(row: Row) -> AtSize:
        return row.at_size.get(size, AtSize(0, None, None))

    def interval(row: Row) -> str:
        return half_text(there(row).mean, there(row).half, ERRORS, 2)

    half += f"{_CUT if any(is_cut(there(row).mean, there(row).half, ERRORS) for row in table.rows) else ''}."
    return (
        Column(f"error_{size}", group, group, "mean", mean, lambda row: fixed(there(row).mean, 2), f"{size} px %"),
        Column(f"half_{size}", "±95%", group, "±95%", half, interval, "±95%"),
        Column(f"n_{size}", f"n at {size} px", group, "n", n, lambda row: f"{there(row).n}/{row.planned}", "n"),
    )


def _held_out(table: AblationTable) -> tuple[Column, ...]:
    held = table.held_out
    if held is None or not held.values:
        return ()
    metric, digits = table.sweep.metric, table.sweep.metric.measure.digits
    unit, kind = metric.measure.unit, metric.measure.noun
    group = f"test {kind}{f' ({unit})' if unit else ''}"
    mean = f"Mean {kind} on the test split, with the weights of the {metric.epoch} epoch; these images chose nothing."
    gap = "Test minus validation over the same runs, with the half width of its 95 % t interval."

    def on(row: Row) -> OnTest:
        return held.rows.get(row.name, OnTest())

    def interval(row: Row) -> str:
        return half_text(on(row).mean, on(row).half, limits(metric), digits) if on(row).n else NOTHING

    def gap_text(row: Row) -> str:
        half = "" if math.isnan(on(row).gap_half) else f" ± {fixed(on(row).gap_half, digits)}"
        return f"{signed(on(row).gap, digits)}{half}"

    half_legend = "Half width of the 95 % t interval of that mean."
    return (
        Column("test", group, group, "mean", mean, lambda row: fixed(on(row).mean, digits), f"test {unit}".strip()),
        Column("test_half", "±95% (test)", group, "±95%", half_legend, interval, "±95%"),
        Column("test_gap", "minus validation", group, "minus validation", gap, gap_text, "gap"),
    )
