"""Values as plain text for a terminal: aligned columns, no colour."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sklab.launch.slots import Slot
from sklab.machine import installed
from sklab.progress import duration
from sklab.records import Evaluation, RunRecord
from sklab.spec.check import CheckResult
from sklab.sweep.plan import Plan, StudyStatus

if TYPE_CHECKING:  # scipy stands behind them, which no other text needs
    from sklab.analysis.attention import Trend
    from sklab.analysis.fields import FieldSize
    from sklab.analysis.findings import CellFindings

_VERSIONED = ("sklab", "torch", "lightning", "optuna", "wandb", "pandas", "numpy", "pydantic")


def aligned(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns two blanks apart, the first to the left and the others to the right."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


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
    rows = [
        (
            cell.name,
            f"{cell.params / 1e6:.3f}",
            f"{cell.macs / 1e6:.1f}",
            *map(str, (cell.done, cell.diverged, cell.failed, cell.missing)),
        )
        for cell in plan.cells
    ]
    header = ("cell", "Mparams", "MMACs", "done", "diverged", "failed", "to run")
    invalid = [f"invalid: {cell.name}: {cell.reason}" for cell in plan.invalid]
    asked = [f"and {plan.asked} more cells to be asked for by the search"] if plan.asked else []
    part = [f"fraction: {plan.fraction}"] if plan.fraction else []
    lacking = [f"complete runs that are only to be evaluated at a further size: {plan.unevaluated}"]
    warnings = [f"warning: {off}" for off in plan.off_budget]
    more = [*invalid, *asked, *part, *(lacking if plan.unevaluated else []), *warnings]
    return "\n".join([aligned(header, rows), *more, _plan_sum(plan)])


def _plan_sum(plan: Plan) -> str:
    time = "no estimate before the first finished run" if plan.seconds is None else f"about {duration(plan.seconds)}"
    seeds = ", ".join(map(str, plan.seeds))
    return f"{plan.study}: seeds {seeds}; {plan.done} done, {plan.missing} to run, {plan.slots} at a time: {time}"


def status_text(status: StudyStatus) -> str:
    """Counts, the running runs and the failures with their reasons."""
    live = "a runner is at work" if status.live else "no runner is at work"
    head = (
        f"{status.study}: {status.done} of {status.total} done, {len(status.running)} running, "
        f"{len(status.failures)} failed, {status.missing} to run; {live}"
    )
    running = [
        f"running: {run.cell}, seed {run.seed}: epoch {run.epoch}/{run.epochs}"
        + (f", val_error {run.metrics['val_error']:.2f} %" if run.metrics else "")
        for run in status.running
    ]
    failures = [
        f"{run.status}: {run.cell}, seed {run.seed} ({run.failure}): {run.reason}; log: {run.log}"
        for run in status.failures
    ]
    return "\n".join([head, *running, *failures])


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
