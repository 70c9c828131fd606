"""The seven columns that a reader looks at first, in every format; and the choice of columns by their keys."""

from __future__ import annotations

from collections.abc import Sequence

from sklab.analysis.table.rows import AblationTable, BaselineVerdict, Row
from sklab.errors import SklabError
from sklab.report.numbers import NOTHING, fixed, is_cut, limits, signed
from sklab.report.run_files import chosen
from sklab.report.tables.column import Column
from sklab.report.tables.columns import columns
from sklab.spec.names import meant

_SUMMARY = ("cell", "n", "error", "diff", "verdict", "params", "macs")
MOST = 24  # rows of a summary
MARKS: dict[BaselineVerdict, str] = {
    "better": "✓",
    "worse": "✗",
    "equivalent": "=",
    "not worse": "◐",
    "undecided": "○",
    "no test": "–",
}


def summary_columns(table: AblationTable) -> tuple[Column, ...]:
    """Cell, n, mean and difference from the baseline with their intervals, verdict, parameters, multiply-accumulates:
    the columns with these keys."""
    known = _by_key(table)
    return tuple(known[key] for key in _SUMMARY)


def summary_rows(table: AblationTable) -> list[Row]:
    """The rows of a summary: all of them, or of very many the baseline and the best means."""
    return list(table.rows) if len(table.rows) <= MOST else chosen(table.rows, MOST)


def chosen_columns(table: AblationTable, keys: Sequence[str]) -> tuple[Column, ...]:
    """The columns with these keys, in this order; those of the summary for none. Raises SklabError for a key that the
    table does not have."""
    known = _by_key(table)
    for key in keys:
        if key not in known:
            raise SklabError(f"--columns: found {key!r}; allowed: {', '.join(known)}{meant(key, known)}")
    return tuple(known[key] for key in keys or _SUMMARY)


def _by_key(table: AblationTable) -> dict[str, Column]:
    """Those of the summary first; a factor whose name is the key of another column gives way to it."""
    by_factor = sorted(columns(table), key=lambda column: not column.is_factor)
    known = {column.key: column for column in (*by_factor, _mean(table), _difference(table))}
    return {key: known[key] for key in dict.fromkeys((*_SUMMARY, *known))}


def marked(row: Row) -> str:
    """The verdict on a row with its mark: `✓ better`; a dash for the baseline."""
    return f"{MARKS[row.verdict]} {row.verdict}" if row.verdict else NOTHING


def _mean(table: AblationTable) -> Column:
    measure, within = table.sweep.metric.measure, limits(table.sweep.metric)
    legend = f"Mean {measure.title} of the n runs ± half of its 95 % interval; {measure.better} is better."

    def text(row: Row) -> str:
        if row.mean is None or row.half is None or not is_cut(row.mean, row.half, within):
            return _with_half(fixed(row.mean, measure.digits), row.half, measure.digits)
        low, high = max(row.mean - row.half, within[0]), min(row.mean + row.half, within[1])
        return f"{fixed(row.mean, measure.digits)} ({fixed(low, measure.digits)} to {fixed(high, measure.digits)})"

    return Column("error", measure.heading, "", measure.heading, legend, text, "")


def _difference(table: AblationTable) -> Column:
    measure = table.sweep.metric.measure
    sign = "negative" if measure.better == "lower" else "positive"
    legend = f"Mean difference from the baseline ± half of its simultaneous 95 % interval; {sign} is better."

    def text(row: Row) -> str:
        if row.baseline is None or not row.n:
            return NOTHING
        return _with_half(signed(row.baseline.difference, measure.digits), row.baseline.half, measure.digits)

    return Column("diff", "minus baseline", "", "minus baseline", legend, text, "")


def _with_half(mean: str, half: float | None, digits: int) -> str:
    told = fixed(half, digits)
    return mean if told == NOTHING else f"{mean} ± {told}"
