"""The study's ablation table, figures and attention by cell and SK unit in W&B, in a summary run of its own."""

from __future__ import annotations

import csv
import logging
import math
import multiprocessing
import signal
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklab.analysis.attention.trends import expected_kernel, pooled
from sklab.errors import DamagedRecordError
from sklab.report.escape import unsheet
from sklab.store.records import Tracking
from sklab.store.run_folder import RunFolder
from sklab.system.processes import no_main_module
from sklab.system.safe_path import protect
from sklab.tracking.client import Client, in_short, run_id

if TYPE_CHECKING:
    import wandb

DEADLINE = 25.0  # seconds; the timeouts of a server that stops answering, one after the other, fit in it

FIGURES, ATTENTION = "figures", "attention"  # what they are logged as, beside "table"

_log = logging.getLogger(__name__)
Row = dict[str, str | int | float]


@dataclass(frozen=True)
class Place:
    """The place of a study in W&B. `summary`: the id of its summary run; `entity`: "" when that run stays on this
    machine; `group`: of its runs."""

    entity: str
    project: str
    summary: str
    group: str


def summary_id(study: str, folder: Path) -> str:
    """Id of the summary run of `study` in `folder`."""
    return run_id(f"{study}-summary", folder)


def log_table(table_csv: Path, study: str, tracking: Tracking, folder: Path) -> None:
    """Track the table in `table_csv`, with the figures that the study in `folder` has, in its summary run; nothing when
    the mode is disabled.

    The same folder means the same W&B run: a later table replaces an earlier one. Never fails a finished sweep:
    what goes wrong is a warning. A process of its own keeps wandb, its threads and its exit hooks out of this one.
    """
    if tracking.mode == "disabled":
        return
    protect()
    arguments = (table_csv, study, tracking, folder)
    child = multiprocessing.get_context("spawn").Process(target=_track, args=arguments, daemon=True)
    with no_main_module():
        child.start()
    child.join(DEADLINE)
    if child.is_alive():
        child.kill()
        _log.warning("W&B: the table of %s was not tracked within %g s", study, DEADLINE)


def _track(table_csv: Path, study: str, tracking: Tracking, folder: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    try:
        log_to_run(table_csv, study, tracking, folder)
    except Exception as error:  # whatever wandb raises is no reason to fail a finished sweep
        _log.warning("W&B: the table of %s was not tracked: %s", study, in_short(error))


def log_to_run(table_csv: Path, study: str, tracking: Tracking, folder: Path) -> Place:
    """Do the work of `log_table` in this process, without a time limit and with every exception of wandb."""
    columns, rows = _read(table_csv)
    attention = unit_rows(folder)
    import wandb

    described = {"id": summary_id(study, folder), "name": f"{study} summary"}
    group = tracking.group or study
    with Client(tracking, folder).open(group=group, job_type="summary", **described) as run:
        logged: dict[str, Any] = {"table": wandb.Table(columns=columns, data=rows)}
        for file in sorted((folder / "figures").glob("*.svg")):
            svg = file.read_text(encoding="utf-8")
            logged[f"{FIGURES}/{file.stem}"] = wandb.Html(svg, inject=False, data_is_not_path=True)
        if attention:
            logged[ATTENTION] = wandb.Table(columns=list(attention[0]), data=[[*row.values()] for row in attention])
        run.log(logged)
        if "table" in tracking.artifacts:
            run.log_artifact(_files_of(study, folder))
        place = Place("" if run.offline else run.entity, run.project, run.id, group)
        run.finish(0)
    return place


def _files_of(study: str, folder: Path) -> wandb.Artifact:
    """The study's tables, report and figures as they lie in its `folder`."""
    import wandb

    artifact = wandb.Artifact(f"report-{study}", type="report")
    for file in sorted((*folder.glob("table.*"), *folder.glob("report.*"), *folder.glob("figures/*"))):
        artifact.add_file(str(file), name=str(file.relative_to(folder)), policy="immutable", skip_cache=True)
    return artifact


def _read(table_csv: Path) -> tuple[list[Any], list[Any]]:
    """Header and rows; a column of numbers as numbers, an empty place as None, text as it was before it was kept from
    being a formula."""
    with table_csv.open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    columns = [_typed(column) for column in zip(*rows, strict=True)]
    return [unsheet(name) for name in header], [list(row) for row in zip(*columns, strict=True)]


def _typed(column: tuple[str, ...]) -> list[float | str | None]:
    try:
        return [float(text) if text else None for text in column]
    except ValueError:
        return [unsheet(text) or None for text in column]


def unit_rows(folder: Path) -> list[Row]:
    """A row per cell and SK unit of the study in `folder`, in the order of the cells' names and of the network.

    `kernel` is the expected kernel in pixels over all validation images, mean over the cell's n runs. Empty where no
    run left any attention. A warning for each run whose attention can't be read.
    """
    kernels: dict[tuple[str, str], list[float]] = {}
    for file in sorted(folder.glob("runs/*/attention.json")):
        run = RunFolder(file.parent)
        try:
            cell, seen = run.read_order().cell, run.read_attention()
        except DamagedRecordError as error:
            warnings.warn(str(error), stacklevel=2)
            continue
        if seen is None:
            continue
        for unit in seen.units:
            kernel = expected_kernel(pooled(unit, seen.counts, "nothing"), unit.kernels)
            kernels.setdefault((cell, unit.name), []).append(float(kernel))
    return [
        {
            "cell and unit": f"{cell} {unit}",
            "cell": cell,
            "unit": unit,
            "n": len(values),
            "kernel": math.fsum(values) / len(values),
        }
        for (cell, unit), values in sorted(kernels.items(), key=lambda entry: entry[0][0])
    ]
