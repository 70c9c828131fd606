"""A study of one run, followed by loggers through the launcher of a file, and the curves that it leaves."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from sklab.cli import main
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder

ONE_RUN = """\
experiment: toy.yaml
design: list
seeds: 1
baseline: K3
cells: [{name: K3}]
"""


def ensure_logged(files: Path, launcher: str) -> None:
    """Train one run with this launcher's file: its errors stand where the page of loggers says, as it measured them."""
    (files / "cluster.yaml").write_text(launcher)
    (files / "one.yaml").write_text(ONE_RUN)
    given = ["--launcher", str(files / "cluster.yaml"), "--results", str(files / "results"), "--log", "csv,tensorboard"]
    assert main(["sweep", str(files / "one.yaml"), *given]) == 0
    study = StudyFolder(files / "results" / "one")
    [key] = study.records()
    errors = measured(study.run(key))
    assert from_csv(study.path / "csv" / "K3" / "0") == pytest.approx(errors)
    assert from_tensorboard(study.path / "tensorboard" / "K3" / "0") == pytest.approx(errors)


def measured(run: RunFolder) -> list[float]:
    with run.metrics_file.open(newline="") as stream:
        return [float(row["val_error"]) for row in csv.DictReader(stream)]


def from_csv(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open(newline="") as stream:
        return [float(row["val_error"]) for row in csv.DictReader(stream) if row["val_error"]]


def from_tensorboard(folder: Path) -> list[float]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return [point.value for point in EventAccumulator(str(folder)).Reload().Scalars("val_error")]
