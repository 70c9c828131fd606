"""The compute statement of a study: what it took, what of that was lost, and what checklists of conferences ask for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sklab.analysis.evidence.compute import Attempt, Compute, device_time
from sklab.analysis.table.rows import AblationTable
from sklab.report.escape import clean
from sklab.report.provenance import ended
from sklab.store.records import RunRecord
from sklab.store.states import STATES
from sklab.system.terminal import quantity

_HOUR = 3_600_000  # milliseconds
_KEPT = ("complete",)
DIVIDED = (
    "An attempt counts with its wall time on each of its devices (a GPU; without one, the threads of the run). Runs "
    "that one process trains abreast divide it by their largest number; runs of several processes on one GPU are not "
    "divided, so that their hours are an upper bound."
)
_KWH = 3.6e6  # joules
_RECORD_NONE = "runs record none"


def hours(milliseconds: int) -> str:
    """Device-hours, with as many digits as short runs need."""
    value = milliseconds / _HOUR
    return f"{value:,.1f} h" if value >= 100 else f"{value:.2f} h" if value >= 1 else f"{value:.4f} h"


def statement(table: AblationTable, compute: Compute) -> list[str]:
    """The statement in sentences."""
    records = [run.record for run in ended(table) if run.record]
    return [*_spent(compute), DIVIDED, energy(compute), *_checklists(compute, records)]


def energy(compute: Compute) -> str:
    """The energy that counters of the machines counted, or why there is none."""
    missing = [attempt for attempt in compute.own if not (attempt.energy and attempt.energy.source)]
    reasons = dict.fromkeys((attempt.energy.why if attempt.energy else "") or _RECORD_NONE for attempt in missing)
    why = clean("; ".join(reasons) or _RECORD_NONE)
    if not compute.measured:
        return f"Energy: not measured ({why})."
    total = sum(one.joules for one in compute.measured) / _KWH
    sources = " and ".join(sorted({one.source for one in compute.measured}))
    rest = f"; not measured in {quantity(len(missing), 'attempt')} ({why})" if missing else ""
    how = "NVML counts whole GPUs, other processes' work included; of RAPL's count a run has the part of its threads"
    return f"Energy: {total:.4f} kWh in {quantity(len(compute.measured), 'attempt')} by {sources}{rest}. {how}."


def _spent(compute: Compute) -> list[str]:
    attempts = quantity(len(compute.own), "attempt")
    lines = [f"Device time: {hours(compute.total)} in {attempts}."]
    states = compute.by(lambda attempt: attempt.state)
    parts = [
        f"{state} {hours(device_time(states[state]))} ({len(states[state])})" for state in STATES if state in states
    ]
    lines += [f"By how attempts ended: {', '.join(parts)}."] if parts else []
    if again := _stopped_and_done(compute):
        lines.append(f"Of the stopped and failed attempts, {again} were of runs that a later attempt completed.")
    if compute.untimed:
        lines.append(f"Without a known time, counted as 0: {quantity(compute.untimed, 'attempt')}.")
    if tuning := [attempt for attempt in compute.own if attempt.tuning]:
        lines.append(f"Of that, tuning runs: {hours(device_time(tuning))} in {quantity(len(tuning), 'attempt')}.")
    if confirmation := compute.confirmation:
        taken = f"{hours(device_time(confirmation))} in {quantity(len(confirmation), 'attempt')}"
        lines.append(f"Confirmation, not part of that: {taken}.")
    if reused := [attempt for attempt in compute.attempts if attempt.reused]:
        taken = f"{quantity(len(reused), 'attempt')}, {hours(device_time(reused))}"
        lines.append(f"Reused from other studies, which count them: {taken}.")
    return lines


def _stopped_and_done(compute: Compute) -> int:
    done = {attempt.key for attempt in compute.own if attempt.state == "complete"}
    return sum(attempt.key in done and attempt.state != "complete" for attempt in compute.own)


def _checklists(compute: Compute, records: Sequence[RunRecord]) -> list[str]:
    lost = compute.total - device_time(attempt for attempt in compute.own if attempt.state in _KEPT)
    complete = [record for record in records if record.status == "complete"]
    return [
        "NeurIPS checklist, experiments compute resources, and CVPR compute reporting form:",
        f"- Type of workers: {_workers(records) or 'no run has ended'}.",
        f"- Memory: {_range([record.peak_memory_mb for record in complete], 'MB')} at its peak, per run.",
        f"- Time of a run: {_range([record.wall_seconds for record in complete], 's')}.",
        f"- Total: {hours(compute.total)} of device time.",
        f"- Failed, lost or preliminary: {hours(lost)} of that ended without a result of its own.",
        "- Not recorded here, to be added by hand: the provider, storage, and experiments outside this study.",
    ]


def _workers(records: Iterable[RunRecord]) -> str:
    kinds = dict.fromkeys(
        f"{record.hardware.devices} x {record.hardware.device_name} ({record.hardware.device}, "
        f"{quantity(record.hardware.threads, 'thread')} each)"
        for record in records
        if record.hardware
    )
    return clean("; ".join(kinds))


def _range(values: Sequence[float], unit: str) -> str:
    if not values:
        return "not known"
    low, high = f"{min(values):,.1f}", f"{max(values):,.1f}"
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"


def cell_lines(compute: Compute) -> list[str]:
    """A line for each cell: its device time, and the attempts behind it."""
    return [
        f"{clean(name)}: {hours(device_time(attempts))}, {quantity(len(attempts), 'attempt')}, of that lost "
        f"{hours(device_time(attempt for attempt in attempts if attempt.state not in _KEPT))}"
        for name, attempts in compute.by(lambda attempt: attempt.cell).items()
    ]


def as_json(table: AblationTable, compute: Compute) -> str:
    """The statement for machines; device times in milliseconds."""

    def part(attempts: Sequence[Attempt]) -> dict[str, Any]:
        return {"attempts": len(attempts), "device_ms": device_time(attempts)}

    cells, states = compute.by(lambda attempt: attempt.cell), compute.by(lambda attempt: attempt.state)
    tree = {
        "study": table.sweep.study,
        **part(compute.own),
        "untimed": compute.untimed,
        "reused": part([attempt for attempt in compute.attempts if attempt.reused]),
        "tuning": part([attempt for attempt in compute.own if attempt.tuning]),
        "confirmation": part(compute.confirmation),
        "by_state": {name: part(attempts) for name, attempts in states.items()},
        "by_cell": {name: part(attempts) for name, attempts in cells.items()},
        "energy_joules": sum(one.joules for one in compute.measured) if compute.measured else None,
        "statement": statement(table, compute),
    }
    return json.dumps(tree, indent=1, ensure_ascii=False)
