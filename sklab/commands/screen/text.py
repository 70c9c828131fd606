"""Values as plain text for a terminal: aligned columns, no colour."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sklab.launch.slots import Slot
from sklab.spec.jobs import CheckResult
from sklab.store.measured.scores import Evaluation, FinalScore
from sklab.store.versions import installed
from sklab.system import terminal
from sklab.system.terminal import one_line, quantity

if TYPE_CHECKING:  # they import scipy, which no other text needs
    from sklab.analysis.attention.analyses import CellFindings, FieldSize
    from sklab.analysis.attention.trends import Trend

_LONG = 12  # letters of a name for which columns are left out
_VERSIONED = ("sklab", "torch", "lightning", "optuna", "wandb", "pandas", "numpy", "pydantic")


def aligned(header: Sequence[str], rows: Iterable[Sequence[str]], order: Sequence[str] = ()) -> str:
    """Columns with two blanks between them; the first is aligned to the left, the others to the right.

    Where a terminal is too narrow, less important columns are left out, as a last line says, and a long text of the
    first column stands above its line. `order` has columns by importance; those that it does not name come last.
    """
    lines = [header, *([one_line(cell) for cell in row] for row in rows)]
    widths, room = terminal.column_widths(lines), terminal.width()
    by_importance = sorted(range(len(header)), key=lambda at: (at > 0, _rank(header[at], order)))
    kept = terminal.columns_that_fit([min(widths[0], _LONG), *widths[1:]], by_importance, room)
    others = [widths[at] for at in kept[1:]]
    first = (
        widths[0] if room is None else min(widths[0], max(room - sum(2 + width for width in others), len(header[0])))
    )
    shown = [_line([line[at] for at in kept], first, others) for line in lines]
    return "\n".join([*shown, *terminal.no_room_for(header[at] for at in range(len(header)) if at not in kept)])


def _rank(name: str, order: Sequence[str]) -> int:
    return order.index(name) if name in order else len(order)


def _line(cells: Sequence[str], first: int, others: Sequence[int]) -> str:
    name, *rest = cells
    above, name = (f"{name}\n", "") if len(name) > first else ("", name)
    return above + terminal.aligned([name, *rest], [first, *others])


def models_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """The networks with exact parameters and 10^9 multiply-accumulates at their input size."""
    cells = [(row["name"], f"{row['params']:,}", f"{row['macs'] / 1e9:.3f}", str(row["image_size"])) for row in rows]
    return aligned(("network", "parameters", "GMACs", "at"), cells)


def machine_text(slots: Sequence[Slot]) -> str:
    """The versions of the main packages, and the slots of this machine."""
    versions = [f"{name} {version}" for name, version in installed(_VERSIONED).items()]
    device = f"{slots[0].name}{'' if slots[0].gpu is None else ' (GPU)'}"
    return "\n".join(
        [
            f"python {platform.python_version()}, {platform.platform()}, {quantity(os.cpu_count() or 1, 'core')}",
            ", ".join(versions),
            f"slots: {len(slots)} x {device}, {quantity(slots[0].threads, 'thread')} each",
        ]
    )


def findings_text(result: CheckResult) -> str:
    """Each convolution with its errors against float64."""
    rows = [
        (
            finding.convolution,
            "ok" if finding.ok else "WRONG",
            finding.precision,
            finding.memory_format,
            str(finding.batch),
            f"{finding.forward_error:.1e}",
            f"{finding.weight_error:.1e}",
            f"{finding.input_error:.1e}",
        )
        for finding in result.findings
    ]
    header = ("convolution", "", "dtype", "format", "batch", "output", "weight grad", "input grad")
    return f"torch {result.torch} on {result.device}, relative errors against float64:\n{aligned(header, rows)}"


def behaviour_text(findings: Iterable[CellFindings]) -> str:
    """The trend of each unit's attention with scale, and the receptive field of each stage, per cell."""
    trends = [
        (f"{finding.cell}: {trend.unit}", against, str(trend.n), *_trend_numbers(trend), trend.role, trend.verdict)
        for finding in findings
        for against, of_cell in (("object", finding.by_object), ("enlargement", finding.by_enlargement))
        for trend in of_cell
    ]
    measured = [(finding.cell, field) for finding in findings for field in finding.fields]
    compared = any(field.difference is not None for _, field in measured)
    fields = [
        (f"{cell}: {field.stage}", str(field.n), *_field_numbers(field)[: 3 if compared else 2])
        for cell, field in measured
    ]
    slopes = ("unit", "slope against", "n", "large - small", "expected kernel", "", "verdict")
    sides = ("stage", "n", "effective field, px", "theoretical", *(["minus baseline's"] if compared else []))
    return "\n\n".join(
        [
            *([aligned(slopes, trends, ("slope against", "large - small", "verdict"))] if trends else []),
            aligned(sides, fields),
        ]
    )


def _trend_numbers(trend: Trend) -> tuple[str, str]:
    difference = "" if trend.difference is None else _plus_minus(trend.difference, trend.difference_half, 4)
    return difference, _plus_minus(trend.kernel, trend.kernel_half, 4)


def _field_numbers(field: FieldSize) -> tuple[str, str, str]:
    difference = "" if field.difference is None else _plus_minus(field.difference, field.difference_half, 1)
    return _plus_minus(field.side, field.half, 1), str(field.theoretical), difference


def _plus_minus(value: float, half: float | None, digits: int) -> str:
    return f"{value:.{digits}f}" + ("" if half is None else f" ± {half:.{digits}f}")


def evaluation_text(evaluation: Evaluation | FinalScore) -> str:
    """Error and loss in one line."""
    if isinstance(evaluation, FinalScore):
        where = f"on the test split, {quantity(evaluation.images, 'image')}, epoch {evaluation.epoch}"
        return f"{where}: error {evaluation.error:.2f} %, loss {evaluation.loss:.4f}"
    return (
        f"at {evaluation.image_size}x{evaluation.image_size}, {quantity(evaluation.images, 'image')}: "
        f"val_error {evaluation.val_error:.2f} %, val_loss {evaluation.val_loss:.4f}"
    )
