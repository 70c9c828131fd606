"""The costs of cells from their runs: means, the range of latency, the Pareto sets of error and cost; and the number of
latencies that were measured while other runs of the study ran on the same machine."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from sklab.analysis.choice import pareto
from sklab.analysis.statistics.intervals import FloatArray, IntArray
from sklab.analysis.table.rows import AblationTable
from sklab.store.records import RunRecord

_MEANS = ("train_seconds", "samples_per_second", "peak_memory_mb")
_LAST_SECONDS = 3.0  # of a run: its latency is measured in them, for a second at most, before the weights are written


def costs_of(records: Sequence[RunRecord]) -> dict[str, Any]:
    """The costs of a cell from its complete runs, by the names of fields of `Row`."""
    if not records:
        return {}
    latencies = [record.latency_ms for record in records]
    measured = all(latency > 0 for latency in latencies)
    replayed = all(record.replay_latency_ms > 0 for record in records)
    return {
        "params": records[0].params,
        "macs": records[0].macs,
        **_means(records, (*_MEANS, "latency_ms") if measured else _MEANS),
        **({"latency_range": (min(latencies), max(latencies))} if measured else {}),
        **(_means(records, ("replay_latency_ms",)) if replayed else {}),
    }


def _means(records: Sequence[RunRecord], names: Iterable[str]) -> dict[str, float]:
    return {name: math.fsum(getattr(record, name) for record in records) / len(records) for name in names}


def pareto_sets(values: FloatArray, costs: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """For each row the costs at which it takes part and no other row dominates it. Of the `values` (rows, seeds) lower
    ones are better; `costs` are those of `costs_of`, row by row.

    Parameters and multiply-accumulates are exact. Latency varies between the runs of a row; a row whose runs differ
    severalfold takes no part.
    """
    if not costs:
        return []
    runs = np.count_nonzero(~np.isnan(values), axis=-1)
    exact = {cost: np.array([of_row.get(cost, math.nan) for of_row in costs]) for cost in pareto.EXACT}
    lowest, highest = np.array([_steady_range(of_row.get("latency_range")) for of_row in costs]).T
    no_cheaper = {cost: pareto.no_cheaper(prices) for cost, prices in exact.items()}
    no_cheaper["latency_ms"] = pareto.ranges_above(lowest, highest, runs)
    higher, takes_part = pareto.significantly_higher(values), {**exact, "latency_ms": lowest}
    dominators = {cost: pareto.dominated_by(higher, of_cost) for cost, of_cost in no_cheaper.items()}
    return [
        tuple(cost for cost in pareto.COSTS if runs[at] and takes_part[cost][at] > 0 and not dominators[cost][at])
        for at in range(len(costs))
    ]


def _steady_range(latency: tuple[float, float] | None) -> tuple[float, float]:
    return (math.nan, math.nan) if latency is None or pareto.differ_severalfold(*latency) else latency


@dataclass(frozen=True)
class Neighbours:
    """The number of complete runs that `measured` latency; of those, the number that measured it `beside` other runs of
    the study on the same machine, and the number for which that is `unknown`."""

    measured: int
    beside: int
    unknown: int


def neighbours(table: AblationTable) -> Neighbours:
    """The counts of `Neighbours`, as far as the records tell: they know nothing about other studies and programs, and a
    run that was taken from another study had neighbours there."""
    runs = [run for row in table.rows for run in row.runs]
    spans = {run.key: span for run in runs if run.record and (span := _span(run.record))}
    beside = _overlapped(spans)
    measured = [run.key for run in runs if run.state == "complete" and run.record and run.record.latency_ms > 0]
    unknown = [key for key in measured if key not in beside and (key not in spans or key in table.reused)]
    return Neighbours(len(measured), len(beside.intersection(measured)), len(unknown))


def _span(record: RunRecord) -> tuple[str, float, float] | None:
    """The machine of a run, and the times at which its last attempt began and ended; None where the record lacks
    them."""
    try:
        start, end = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (record.started, record.ended))
    except ValueError:
        return None
    return (record.hardware.host, start.timestamp(), end.timestamp()) if record.hardware else None


def _overlapped(spans: Mapping[str, tuple[str, float, float]]) -> set[str]:
    """The runs in whose last seconds another one ran on the same machine."""
    keys_by_host: dict[str, list[str]] = defaultdict(list)
    for key, (host, _, _) in spans.items():
        keys_by_host[host].append(key)
    return {
        key
        for keys in keys_by_host.values()
        for key, others in zip(keys, _others(np.array([spans[key][1:] for key in keys])), strict=True)
        if others > 0
    }


def _others(times: FloatArray) -> IntArray:
    """For each run of a machine, the number of others that ran in its last seconds; `times` (runs, 2) are starts and
    ends."""
    starts, ends = times.T
    last = np.maximum(starts, ends - _LAST_SECONDS)
    begun_before_end = np.searchsorted(np.sort(starts), ends, side="left")
    over = np.searchsorted(np.sort(ends), last, side="right")
    return np.asarray(begun_before_end - over - 1)  # less the run itself
