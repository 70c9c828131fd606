"""A plan, and how a study stands, as plain text for a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from sklab.progress import duration
from sklab.sweep.change import Change
from sklab.sweep.plan import Plan, PlannedCell
from sklab.sweep.status import RunStatus, StudyStatus
from sklab.text import aligned

_MOST_NAMED = 8  # cells in one line


def plan_text(plan: Plan) -> str:
    """The plan, a row per cell, and what it adds up to."""
    header = ("cell", "Mparams", "MMACs", "MB", "a run", "known from", "done", "diverged", "failed", "new")
    table = aligned(header, [_plan_row(cell) for cell in plan.cells])
    return "\n".join([table, *_plan_lines(plan), *(f"warning: {off}" for off in plan.off_budget), _plan_sum(plan)])


def differences_text(plan: Plan) -> str:
    """In which resolved settings each cell differs from the baseline; what it does not declare is marked."""
    return "\n".join(
        f"{cell.name}: {each.path}: {_value(each.baseline)} -> {_value(each.here)}{'' if each.declared else ' (!)'}"
        for cell in plan.cells
        for each in cell.differences
    )


def _plan_row(cell: PlannedCell) -> tuple[str, ...]:
    price = cell.price
    known = (f"{price.peak_memory_mb:.0f}", duration(price.seconds), price.source) if price else ("", "", "")
    counts = map(str, (cell.done, cell.diverged, cell.failed, cell.new))
    return (cell.name, f"{cell.params / 1e6:.3f}", f"{cell.macs / 1e6:.1f}", *known, *counts)


def _plan_lines(plan: Plan) -> Iterator[str]:
    yield from (f"invalid: {cell.name}: {cell.reason}" for cell in plan.invalid)
    if plan.asked:
        yield f"and {plan.asked} more cells to be asked for by the search"
    if plan.fraction:
        yield f"fraction: {plan.fraction}"
    if plan.unevaluated:
        yield f"complete runs that are only to be evaluated at a further size: {plan.unevaluated}"
    yield from (f"no price: {cell.name}: {cell.fault}" for cell in plan.cells if cell.fault and cell.price is None)
    yield from _change_lines(plan.change)
    yield from (f"warning: {confound}" for confound in plan.confounds)
    if not plan.confounds and len(plan.cells) > 1:
        yield f"every cell differs from {plan.baseline} in what it declares and in nothing else"


def _change_lines(change: Change | None) -> Iterator[str]:
    if change is None:
        return
    told = [
        *_named("cells added", change.added),
        *_named("cells removed", change.removed),
        *_named("cells that are other runs now", change.changed),
        *_named("seeds added", change.seeds_added),
        *_named("seeds removed", change.seeds_removed),
        *change.settings,
    ]
    yield from (f"since the last start: {line}" for line in told or ["nothing has changed"])


def _named(what: str, names: Sequence[object]) -> Iterator[str]:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    if names:
        yield f"{what}: {', '.join(map(str, names[:_MOST_NAMED]))}{more}"


def _plan_sum(plan: Plan) -> str:
    seeds = ", ".join(map(str, plan.seeds))
    counts = f"{plan.study}: seeds {seeds}; {plan.done} done, {plan.missing} to run, {plan.slots} at a time"
    if plan.seconds is None or plan.device_hours is None:
        return f"{counts}: no estimate before the first finished run or --probe"
    return f"{counts}: about {duration(plan.seconds)}, {device_hours_text(plan.device_hours, gpu=plan.gpu)}"


def device_hours_text(hours: float, *, gpu: bool) -> str:
    """Hours of all devices together; without GPUs a device is a share of the CPU."""
    return f"{hours:.{1 if hours >= 10 else 2}f} {'GPU-hours' if gpu else 'CPU-slot-hours'}"


def _value(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)


def status_text(status: StudyStatus) -> str:
    """Counts, the running runs and the failures with their reasons."""
    live = "a runner is at work" if status.live else "no runner is at work"
    eta = "" if status.eta_seconds is None else f", about {duration(status.eta_seconds)} left"
    head = (
        f"{status.study}: {status.done} of {status.total} done, {len(status.running)} running, "
        f"{len(status.failures)} failed, {status.missing} to run; {live}{eta}"
    )
    failures = [
        f"{run.state}: {run.cell}, seed {run.seed} ({run.failure}): {run.reason}; log: {run.log}"
        for run in status.failures
    ]
    return "\n".join([head, *_running(status), *failures])


def _running(status: StudyStatus) -> list[str]:
    if not status.running:
        return []
    header = ("running", "seed", "attempt", "epoch", status.metric, "img/s", "MB", "for", "left", "device")
    return [aligned(header, [_running_row(run) for run in status.running])]


def _running_row(run: RunStatus) -> tuple[str, ...]:
    return (
        run.cell,
        str(run.seed),
        str(run.attempt),
        f"{run.epoch}/{run.epochs}",
        _number(run.metric, 2),
        _number(run.samples_per_second, 0),
        _number(run.peak_memory_mb, 0),
        "" if run.seconds is None else duration(run.seconds),
        "" if run.remaining_seconds is None else duration(run.remaining_seconds),
        run.device_name,
    )


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
