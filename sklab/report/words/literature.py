"""The sentences on published figures: what they are, whether ours reproduce them, whether the order is the same."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import get_args

from sklab.analysis.statistics.intervals import Verdict
from sklab.analysis.table.published import (
    asks_for_verdict,
    data_title,
    on_published_data,
    order_agreement,
    row_reproduced,
)
from sklab.analysis.table.rows import AblationTable
from sklab.report.escape import clean
from sklab.report.numbers import DAGGER
from sklab.report.words.phrases import listed, p_equals
from sklab.spec.study.sweep import PublishedRow, Sweep

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


def published(sweep: Sweep) -> str:
    """The source of the published figures, and whether ours can be compared with them; "" where there are none."""
    if sweep.published is None:
        return ""
    level = "" if on_published_data(sweep) else f"; not comparable in level with {clean(data_title(sweep))}"
    names = [cell.name for cell in (*sweep.cells, *sweep.duplicates)]
    figures = [sweep.published.rows[name] for name in names if name in sweep.published.rows]
    source, data = clean(sweep.published.source), clean(sweep.published.data)
    return f"Published figures: {source}; published on {data}{level}.{_dagger(figures)}"


def published_only(sweep: Sweep) -> str:
    """The published figures of networks that are not trained here; "" when there are none."""
    others = sweep.published.others if sweep.published else {}
    if not others:
        return ""
    figures = "; ".join(f"{clean(name)} {_figure(row)}" for name, row in others.items())
    return f"Published only, not trained here: {figures}.{_dagger(others.values())}"


def reproduced(table: AblationTable) -> str:
    """The rows by the verdict on their published error, or why there is no verdict; "" where no tolerance is stated."""
    sweep = table.sweep
    if sweep.published is None or sweep.published.tolerance is None:
        return ""
    if not asks_for_verdict(sweep):
        why = f"the metric is {sweep.metric.measure.title}" if on_published_data(sweep) else "these are other data"
        return f"No verdict on the published figures: {why}."
    verdicts = {row.name: row_reproduced(sweep, row) for row in table.rows}
    by_verdict = [(verdict, [name for name in verdicts if verdicts[name] == verdict]) for verdict in VERDICTS]
    groups = "; ".join(f"{verdict}: {listed(names)}" for verdict, names in by_verdict if names)
    return f"Published errors within {sweep.published.tolerance:g} percentage points: {groups}." if groups else ""


def agreement(table: AblationTable) -> str:
    """The agreement of the order of our rows with the published order on other data; "" for fewer than two figures."""
    if on_published_data(table.sweep):
        return ""
    rank = order_agreement(table.sweep, {row.name: row.mean for row in table.rows})
    if math.isnan(rank.tau):
        return ""
    tau = f"{rank.tau:.2f}".replace("-", "−")
    text = f"Kendall's tau = {tau} over {rank.n} cells ({p_equals(rank.p)})"
    return f"Agreement of our order of cells with the published one: {text}."


def _figure(row: PublishedRow) -> str:
    """The published error with its dagger, and those costs of the network that are published."""
    costs = [f"{row.params:g} M" if row.params else "", f"{row.gmacs:g} GMACs" if row.gmacs else ""]
    known = ", ".join(filter(None, costs))
    return f"{row.error:.2f}{'' if row.verified else DAGGER} %{known and f' ({known})'}"


def _dagger(figures: Iterable[PublishedRow]) -> str:
    every = all(row.verified for row in figures)
    return "" if every else f" {DAGGER} transcribed, not verified: check before citing."
