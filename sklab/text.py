"""Values as plain text for a terminal: aligned columns, no colour."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sklab.launch.slots import Slot
from sklab.machine import installed
from sklab.progress import duration
from sklab.records import Evaluation, RunRecord
from sklab.spec.check import CheckResult
from sklab.sweep.change import Change
from sklab.sweep.plan import Further, Plan, PlannedCell
from sklab.sweep.status import RunStatus, StudyStatus

if TYPE_CHECKING:  # scipy stands behind them, which no other text needs
    from sklab.analysis.attention import Trend
    from sklab.analysis.fields import FieldSize
    from sklab.analysis.findings import CellFindings

_VERSIONED = ("sklab", "torch", "lightning", "optuna", "wandb", "pandas", "numpy", "pydantic")
_MOST_NAMED = 8  # cells in one line


def aligned(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns two blanks apart, the first to the left and the others to the right. Where a terminal is too narrow for
    that, what is long in the first stands above its line."""
    lines = [header, *rows]
    first, *others = [max(len(line[column]) for line in lines) for column in range(len(header))]
    room = shutil.get_terminal_size((sys.maxsize, 0)).columns - sum(2 + width for width in others)
    first = min(first, max(room, len(header[0])))
    return "\n".join(_line(name, rest, first, others) for name, *rest in lines)


def _line(name: str, rest: Sequence[str], first: int, others: Sequence[int]) -> str:
    above, name = (f"{name}\n", "") if len(name) > first else ("", name)
    cells = (text.rjust(width) for text, width in zip(rest, others, strict=True))
    return above + "  ".join([name.ljust(first), *cells]).rstrip()


def retry_text(records: Sequence[RunRecord], study: str) -> str:
    """Which runs will be trained anew, and what makes that happen."""
    if not records:
        return f"{study}: no such run has failed, nothing was changed"
    lines = [f"{record.cell}, seed {record.spec.seed}: {record.failure}: {record.reason}" for record in records]
    told = f"{len(records)} {'run' if len(records) == 1 else 'runs'} set aside; `sklab sweep` trains them anew"
    return "\n".join([*lines, told])


def models_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """The networks with exact parameters and 10^9 multiply-accumulates at their input size."""
    cells = [(row["name"], f"{row['params']:,}", f"{row['macs'] / 1e9:.3f}", str(row["image_size"])) for row in rows]
    return aligned(("network", "parameters", "GMACs", "at"), cells)


def plan_text(plan: Plan) -> str:
    """The plan, a row per cell, and what it adds up to."""
    pruned = ("pruned",) if any(cell.pruned for cell in plan.cells) else ()
    header = ("cell", "Mparams", "MMACs", "MB", "a run", "known from", "done", "diverged", *pruned, "failed", "new")
    table = aligned(header, [_plan_row(cell, pruned=bool(pruned)) for cell in plan.cells])
    warnings = (f"warning: {off}" for off in plan.off_budget)
    further = [_further_text(plan.further)] if plan.further else []
    return "\n".join([table, *_plan_lines(plan), *warnings, _plan_sum(plan), *further])


def differences_text(plan: Plan) -> str:
    """In which resolved settings each cell differs from the baseline; what it does not declare is marked."""
    return "\n".join(
        f"{cell.name}: {each.path}: {_value(each.baseline)} -> {_value(each.here)}{'' if each.declared else ' (!)'}"
        for cell in plan.cells
        for each in cell.differences
    )


def _plan_row(cell: PlannedCell, *, pruned: bool) -> tuple[str, ...]:
    price = cell.price
    known = (f"{price.peak_memory_mb:.0f}", duration(price.seconds), price.source) if price else ("", "", "")
    ended_early = (cell.pruned,) if pruned else ()
    counts = map(str, (cell.done, cell.diverged, *ended_early, cell.failed, cell.new))
    return (cell.name, f"{cell.params / 1e6:.3f}", f"{cell.macs / 1e6:.1f}", *known, *counts)


def _plan_lines(plan: Plan) -> Iterator[str]:
    yield from (f"invalid: {cell.name}: {cell.reason}" for cell in plan.invalid)
    if plan.asked:
        yield f"and {plan.asked} more cells to be asked for by the search, {len(plan.cells) - 1} found so far"
    if plan.refused:
        yield f"proposals that do not keep the constraints, never trained: {plan.refused}"
    if plan.space:
        yield (
            f"search space: {plan.space.combinations} combinations of levels, {plan.space.valid} can exist, "
            f"{plan.space.feasible} keep the constraints"
        )
    if plan.fraction:
        yield f"fraction: {plan.fraction}"
    if plan.unevaluated:
        yield f"complete runs that are only to be evaluated at a further size: {plan.unevaluated}"
    if plan.reused:
        yield f"runs to run that another study has finished: {plan.reused}, taken over"
    elsewhere = [cell.name for cell in plan.cells if cell.price and not cell.price.alike and cell.missing]
    yield from _named("prices of runs with another share of the machine, more or fewer at a time", elsewhere)
    yield from (f"no price: {cell.name}: {cell.fault}" for cell in plan.cells if cell.fault and cell.price is None)
    yield from _change_lines(plan.change)
    yield from (f"warning: {confound}" for confound in plan.confounds)
    if not plan.confounds and len(plan.cells) > 1:
        yield f"every cell differs from {plan.baseline} in what it declares and in nothing else"


def _change_lines(change: Change | None) -> Iterator[str]:
    if change is None:
        return
    told = [
        *_named("cells added", change.cells_added),
        *_named("cells removed", change.cells_removed),
        *_named("cells that are other runs now", change.cells_changed),
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
    seeds = plan.further.rule if plan.further else f"seeds {', '.join(map(str, plan.seeds))}"
    counts = f"{plan.study}: {seeds}; {plan.done} done, {plan.missing} to run, {plan.slots} at a time"
    if plan.seconds is None or plan.device_hours is None:
        return f"{counts}: no estimate before the first finished run or --probe"
    return f"{counts}: about {duration(plan.seconds)}, {device_hours_text(plan.device_hours, gpu=plan.gpu)}"


def device_hours_text(hours: float, *, gpu: bool) -> str:
    """Hours of all devices together; without GPUs a device is a share of the CPU."""
    return f"{hours:.{1 if hours >= 10 else 2}f} {'GPU-hours' if gpu else 'CPU-slot-hours'}"


def budget_text(hours: float | None, budget: str, *, over: bool, gpu: bool) -> str:
    """How what is left stands to the budget."""
    if hours is None:
        return (
            f"what is left has no price, so it can't be held to the budget of {budget}; `sklab plan --probe` says why"
        )
    cost = device_hours_text(hours, gpu=gpu)
    return f"what is left takes about {cost}, {'more than' if over else 'within'} the budget of {budget}"


def _value(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)


def _further_text(further: Further) -> str:
    basis = "differences are as seen so far" if further.seen else "no cell differs"
    times = (further.expected_seconds, further.worst_seconds)
    expected, worst = ("" if seconds is None else f", about {duration(seconds)}" for seconds in times)
    return (
        f"{further.rule}: {further.expected} runs to go are expected if {basis}{expected}; "
        f"{further.worst} at worst{worst}"
    )


def status_text(status: StudyStatus) -> str:
    """Counts, the running runs and the failures with their reasons."""
    live = "a runner is at work" if status.live else "no runner is at work"
    eta = "" if status.eta_seconds is None else f", about {duration(status.eta_seconds)} left"
    pruned = f"{status.pruned} pruned, " if status.pruned else ""
    head = (
        f"{status.study}: {status.done} of {status.total} done, {len(status.running)} running, "
        f"{len(status.failures)} failed, {pruned}{status.missing} to run; {live}{eta}"
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


def machine_text(slots: Sequence[Slot]) -> str:
    """Versions of what matters, and the slots of this machine."""
    versions = [f"{name} {version}" for name, version in installed(_VERSIONED).items()]
    device = f"{slots[0].name}{'' if slots[0].gpu is None else ' (GPU)'}"
    return "\n".join(
        [
            f"python {platform.python_version()}, {platform.platform()}, {os.cpu_count()} cores",
            ", ".join(versions),
            f"slots: {len(slots)} x {device}, {slots[0].threads} threads each",
        ]
    )


def findings_text(result: CheckResult) -> str:
    """Each convolution with its errors against float64."""
    rows = [
        (
            "ok" if finding.ok else "WRONG",
            finding.precision,
            finding.memory_format,
            f"{finding.forward_error:.1e}",
            f"{finding.weight_error:.1e}",
            f"{finding.input_error:.1e}",
            finding.convolution,
        )
        for finding in result.findings
    ]
    header = ("", "dtype", "format", "output", "weight grad", "input grad", "convolution")
    return f"torch {result.torch} on {result.device}, relative errors against float64:\n{aligned(header, rows)}"


def behaviour_text(findings: Iterable[CellFindings]) -> str:
    """How each unit's attention follows scale, and what each stage sees, per cell."""
    trends = [
        (f"{each.cell}: {trend.unit}", against, str(trend.n), *_trend_numbers(trend), trend.role, trend.verdict)
        for each in findings
        for against, of_cell in (("object", each.by_object), ("enlargement", each.by_enlargement))
        for trend in of_cell
    ]
    fields = [
        (f"{each.cell}: {field.stage}", str(field.n), *_field_numbers(field))
        for each in findings
        for field in each.fields
    ]
    slopes = ("unit", "slope against", "n", "large - small", "expected kernel", "", "verdict")
    sides = ("stage", "n", "effective field, px", "theoretical", "minus baseline's")
    return "\n\n".join([*([aligned(slopes, trends)] if trends else []), aligned(sides, fields)])


def _trend_numbers(trend: Trend) -> tuple[str, str]:
    difference = "" if trend.difference is None else _plus_minus(trend.difference, trend.difference_half, 4)
    return difference, _plus_minus(trend.kernel, trend.kernel_half, 4)


def _field_numbers(field: FieldSize) -> tuple[str, str, str]:
    difference = "" if field.difference is None else _plus_minus(field.difference, field.difference_half, 1)
    return _plus_minus(field.side, field.half, 1), str(field.theoretical), difference


def _plus_minus(value: float, half: float | None, digits: int) -> str:
    return f"{value:.{digits}f}" + ("" if half is None else f" ± {half:.{digits}f}")


def evaluation_text(evaluation: Evaluation) -> str:
    """Error and loss in one line."""
    return (
        f"{evaluation.key} at {evaluation.image_size}x{evaluation.image_size}, {evaluation.images} images: "
        f"val_error {evaluation.val_error:.2f} %, val_loss {evaluation.val_loss:.4f}"
    )
