"""The runs of a study as data, values as measured: one line a run, and one line an epoch of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

from sklab.analysis.table.rows import AblationTable, Run
from sklab.store.measured.metrics import read_epochs
from sklab.store.records import RunRecord
from sklab.store.study_folder import StudyFolder

_WHOLE = ("epochs", "best_epoch", "params", "macs", "attempts", "devices")
_TIMES = ("started", "ended")
_LAST = ("reused_from", "reason", "key")
# Not measured where they are 0.
_COSTS = ("latency_ms", "replay_latency_ms", "samples_per_second", "peak_memory_mb", "peak_reserved_mb")


class Line(NamedTuple):
    """A run with the name and the factors of its cell. Of a study with nuisance settings these hold the setting too,
    and its runs are all that were called for, on the seeds of tuning as well."""

    cell: str
    factors: Mapping[str, str]
    run: Run


def lines(table: AblationTable) -> Iterator[Line]:
    """The runs of a study, cell by cell, in the order of its seeds."""
    if table.tuning is None:
        yield from (Line(row.name, row.factors, run) for row in table.rows for run in row.runs)
        return
    name_of = table.tuning.nuisance.name_of_cell
    for cell, runs in table.tried:
        yield from (Line(name_of(cell.name, cell.factors), cell.factors, run) for run in runs)


def runs_frame(table: AblationTable) -> pd.DataFrame:
    """One line a run; a column for each factor, metric, cost and time. Nothing is rounded, and what was not measured is
    NaN. The names of the factors stand behind `cell`.

    study, cell, seed  which run it is
    status             `complete`, `diverged`, `pruned`, `failed`, `stopped`, `unreadable`, `running` or `waiting`
    val_NAME, train_loss, lr
                       metrics and learning rate at the epoch of the study's rule, errors in %; of complete runs
                       only
    error_SIZE         the error in % at a further image size
    test_NAME          the study's metric on the test split, once that was read
    params, macs       parameters; multiply-accumulates of one image
    latency_ms, replay_latency_ms
                       time of one image; the same as the replay of a CUDA graph
    samples_per_second  training images per second of `train_seconds`
    peak_memory_mb, peak_reserved_mb
                       peak memory in 10^6 bytes: what was used, and what torch held on a GPU
    epochs, best_epoch  epochs that were trained, and the one of lowest `val_error`
    train_seconds, wall_seconds
                       time in training steps, and from start to end
    started, ended     when
    attempts           tries that the run took
    device, device_name, devices
                       where it ran, and on how many devices
    reused_from        the study that trained it, where that is another one
    reason             why it is not complete
    key                its key, the name of its folder
    """
    every = [*lines(table)]
    measured = [_measured(table, run) for _, _, run in every]
    factors = _factors(table, {"study", "cell", "seed", "status", *(name for of_run in measured for name in of_run)})
    rows = [
        {
            "study": table.sweep.study,
            "cell": line.cell,
            **{column: line.factors.get(name, "") for column, name in factors.items()},
            "seed": line.run.seed,
            "status": line.run.state,
            **of_run,
        }
        for line, of_run in zip(every, measured, strict=True)
    ]
    frame = pd.DataFrame(rows, columns=_order(table, factors, measured))
    times = {name: pd.to_datetime(frame[name], utc=True, errors="coerce", format="ISO8601") for name in _TIMES}
    return frame.assign(**times).astype({**dict.fromkeys(_WHOLE, "Int64"), **dict.fromkeys(_COSTS, "float64")})


def _factors(table: AblationTable, ours: set[str]) -> dict[str, str]:
    """The factors by the names of their columns; `factor NAME` where the name is that of another column."""
    settings = table.tuning.nuisance.settings if table.tuning else ()
    names = dict.fromkeys((*table.sweep.columns, *settings))
    return {f"factor {name}" if name in ours else name: name for name in names}


def _order(table: AblationTable, factors: Mapping[str, str], measured: list[dict[str, Any]]) -> list[str]:
    """The names of the columns from left to right: cell and seed, metrics, costs and times."""
    metrics = dict.fromkeys([table.sweep.metric.name, *(name for of_run in measured for name in of_run)])
    others = (*_costs(None), *_ended(None), *_LAST)
    return ["study", "cell", *factors, "seed", "status", *(name for name in metrics if name not in others), *others]


def _measured(table: AblationTable, run: Run) -> dict[str, Any]:
    """What is known of a run beside its cell, its seed and its status."""
    reused = table.reused.get(run.key)
    return {
        **_metrics(table, run),
        **_costs(run.record),
        **_ended(run.record),
        "reused_from": reused.study if reused else "",
        "reason": run.reason,
        "key": run.key,
    }


def _metrics(table: AblationTable, run: Run) -> dict[str, float]:
    metric, record = table.sweep.metric, run.record
    if run.state != "complete" or record is None:
        return {}
    held = table.held_out.values if table.held_out else {}
    return {
        **(record.last if metric.epoch == "last" else record.best),
        **{f"error_{size}": error for size, error in run.errors.items()},
        **({metric.name.replace("val_", "test_", 1): held[run.key]} if run.key in held else {}),
    }


def _costs(record: RunRecord | None) -> dict[str, Any]:
    exact = {name: getattr(record, name, None) or None for name in ("params", "macs")}
    return {**exact, **{name: getattr(record, name, None) or None for name in _COSTS}}


def _ended(record: RunRecord | None) -> dict[str, Any]:
    """How a run went, and where."""
    hardware = record.hardware if record else None
    parts = ("epochs", "best_epoch", "train_seconds", "wall_seconds", *_TIMES)
    return {
        **{part: getattr(record, part, None) for part in parts},
        "attempts": record.attempt if record else None,
        **{part: getattr(hardware, part, None) for part in ("device", "device_name", "devices")},
    }


def curves_frame(study: StudyFolder, table: AblationTable) -> pd.DataFrame:
    """One line an epoch of each run that has begun, ended or not: its cell, seed and status, `epoch` counted from 1,
    and the metrics of that epoch. `lr` is that of the epoch's last step; `seconds` count from the start of training."""
    rows = [
        {"cell": cell, "seed": run.seed, "status": run.state, "epoch": number, **epoch, "key": run.key}
        for cell, _, run in lines(table)
        for number, epoch in enumerate(read_epochs(study.run(run.key).metrics_file), start=1)
    ]
    named = dict.fromkeys(name for row in rows for name in row if name != "key")
    return pd.DataFrame(rows, columns=[*(named or ("cell", "seed", "status", "epoch")), "key"])
