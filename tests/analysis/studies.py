"""Hand-made studies for the tests of the reading plane: a sweep, its records, and both on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sklab.spec.run import Experiment, RunSpec
from sklab.spec.study.sweep import Cell, Sweep
from sklab.store.hardware import Hardware
from sklab.store.measured.scores import Evaluation
from sklab.store.records import Code, RunRecord
from sklab.store.study_folder import StudyFolder

EXPERIMENT: dict[str, Any] = {
    "data": {"name": "scaled_digits"},
    "model": {
        "stem": "small", "stem_width": 16, "depths": [1, 1], "width": 16, "out_width": 32, "cardinality": 8,
        "branches": [{"kernel": 3, "groups": 8}], "attention": "none", "in_channels": 1, "num_classes": 10,
    },
    "train": {"epochs": 3, "batch_size": 64, "lr": 0.1},
}  # fmt: skip
_BASE = Experiment.model_validate(EXPERIMENT)
VERSIONS = {"python": "3.11.9", "torch": "2.13.0"}
MACHINE = Hardware(host="bench", device="cpu", device_name="Some CPU", threads=1)
EPOCHS = 3


def key_of(cell: str, seed: int) -> str:
    return hashlib.sha256(f"{cell}/{seed}".encode()).hexdigest()[:16]


def make_sweep(names: Sequence[str] = ("K3", "K5"), seeds: Sequence[int] = (0, 1, 2), **changes: Any) -> Sweep:
    """A sweep with one factor, `kernel`, whose level is the cell's name."""
    made = [
        Cell(name=name, factors={"kernel": name}, runs={seed: key_of(name, seed) for seed in seeds}) for name in names
    ]
    settings = {
        "study": "made", "question": "Does the kernel matter?", "experiment_name": "small", "experiment": EXPERIMENT,
        "design": "list", "seeds": tuple(seeds), "baseline": names[0] if names else "", "columns": ("kernel",),
        "cells": tuple(made),
    }  # fmt: skip
    return Sweep(**{**settings, **changes})


def make_record(cell: str, seed: int, error: float, **changes: Any) -> RunRecord:
    """A complete run whose val_error is `error` at the last epoch and one less at its best."""
    settings: dict[str, Any] = {
        "key": key_of(cell, seed), "study": "made", "cell": cell, "factors": {"kernel": cell},
        "spec": RunSpec(experiment=_BASE, seed=seed), "code": Code(version="0.1.0", commit="0123456789abcdef0123"),
        "status": "complete", "epochs": EPOCHS, "best_epoch": 2, "params": 54_321, "macs": 9_876_543,
        "last": {"train_loss": 0.5, "val_loss": error / 50, "val_error": error},
        "best": {"train_loss": 0.6, "val_loss": error / 50, "val_error": error - 1},
        "wall_seconds": 21.0 + seed, "train_seconds": 20.0 + seed, "samples_per_second": 900.0 - seed,
        "peak_memory_mb": 400.0, "hardware": MACHINE, "versions": VERSIONS,
        "started": "2026-01-01T00:00:00+00:00", "ended": "2026-01-01T00:00:21+00:00",
    }  # fmt: skip
    return RunRecord(**{**settings, **changes})


def failed_record(cell: str, seed: int, reason: str = "CUDA out of memory", **changes: Any) -> RunRecord:
    """A run that failed after its second epoch: metrics at hand that no table may show."""
    return make_record(cell, seed, 0.25, **{"status": "failed", "failure": "oom", "reason": reason, **changes})


def make_records(errors: Mapping[str, Sequence[float | None]], **changes: Any) -> dict[str, RunRecord]:
    """A complete run for each error, seeds counted from 0; None leaves the run out."""
    runs = [(cell, seed, error) for cell, of_cell in errors.items() for seed, error in enumerate(of_cell)]
    made = [make_record(cell, seed, error, **changes) for cell, seed, error in runs if error is not None]
    return {record.key: record for record in made}


def make_evaluations(size: int, errors: Mapping[str, Sequence[float | None]]) -> dict[str, dict[int, Evaluation]]:
    """An evaluation at `size` for each error, as `make_records` makes runs."""
    numbers = {"image_size": size, "images": 100, "val_loss": 1.0, "device": "cpu", "torch": "2.13.0"}
    return {
        key_of(cell, seed): {size: Evaluation(key=key_of(cell, seed), data=_BASE.data, val_error=error, **numbers)}
        for cell, of_cell in errors.items()
        for seed, error in enumerate(of_cell)
        if error is not None
    }


def write_study(
    path: Path,
    sweep: Sweep,
    records: Mapping[str, RunRecord],
    evaluations: Mapping[str, Mapping[int, Evaluation]] | None = None,
) -> Path:
    """The study on disk, as control and compute leave it; each run has learning curves that end at its errors."""
    folder = StudyFolder(path)
    folder.write_sweep(sweep)
    for key, record in records.items():
        run = folder.run(key)
        run.path.mkdir(parents=True)
        run.write_record(record)
        run.log_file.write_text("epoch 1\n")
        run.metrics_file.write_text(metrics(record))
        for size, evaluation in (evaluations or {}).get(key, {}).items():
            run.evaluation_file(size).write_text(evaluation.model_dump_json())
    return path


def metrics(record: RunRecord) -> str:
    last = record.last
    rows = [
        f"{epoch},{last['train_loss'] + left},{last['val_loss'] + left},{last['val_error'] + 10 * left},0.1,1.5"
        for epoch, left in ((epoch, EPOCHS - epoch) for epoch in range(1, EPOCHS + 1))
    ]
    return "\n".join(["epoch,train_loss,val_loss,val_error,lr,seconds", *rows, ""])
