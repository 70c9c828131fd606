"""Sweeps that vary sources of chance, from the file to the report, with real toy runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pictures import folder

from sklab.cli import main
from sklab.store.study_folder import StudyFolder
from sklab.sweep.files.load import load_sweep

FOLDS = """\
data: {name: image_folder, root: ROOT, num_classes: 2, image_size: 32, resize: 32, folds: 2}
model: {base: sknet_small, in_channels: 3, num_classes: 2, stem_width: 4, width: 8, out_width: 8, cardinality: 2,
        min_dim: 1, depths: [1, 1]}
train: {epochs: 1, batch_size: 4, lr: 0.05}
"""

pytestmark = pytest.mark.slow


def write(files: Path, vary: str, seeds: int, experiment: str = "") -> Path:
    """The toy sweep in `files`, of this many seeds; a file that varies sources already gets other numbers of seeds."""
    if experiment:
        (files / "toy.yaml").write_text(experiment)
    file = files / "sweep.yaml"
    lines = [line for line in file.read_text().splitlines() if not line.startswith(("seeds:", "vary:"))]
    file.write_text("\n".join([*lines, f"seeds: {seeds}", f"vary: {vary}", ""]))
    return file


def run(command: str, file: Path, *options: str) -> int:
    named = str(file) if command in ("sweep", "plan") else file.stem
    return main([command, named, "--results", str(file.parent / "results"), *options])


def keys(file: Path) -> set[str]:
    return {path.parent.name for path in (file.parent / "results" / "sweep" / "runs").glob("*/record.json")}


def test_crossed_sources_from_the_file_to_the_report(toy_files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(toy_files, "{init: 2, order: 2}", 4)
    assert run("sweep", file, "--no-wandb", "--cpu") == 0
    first = keys(file)
    assert len(first) == 8
    write(toy_files, "{init: 2, order: 2}", 8)  # more blocks: what is there stays
    assert run("plan", file) == 0
    assert "8 complete, 8 to run" in capsys.readouterr().out
    assert run("sweep", file, "--no-wandb", "--cpu") == 0
    assert len(keys(file)) == 16
    assert first < keys(file)
    capsys.readouterr()
    assert run("table", file, "--json") == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert [(row["n"], row["planned"]) for row in rows] == [(2, 2), (2, 2)]  # blocks
    report = (toy_files / "results" / "sweep" / "report.md").read_text()
    assert "Blocks of 4 runs cross 2 initialisations and 2 orders" in report
    assert "| initialisation | 4 |" in report


def test_splits_of_a_folder_are_trained_each_on_its_own(toy_files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder(toy_files / "photos", train=8, val=2)
    file = write(toy_files, "[split]", 3, FOLDS.replace("ROOT", str(root)))
    assert run("sweep", file, "--no-wandb", "--cpu") == 0
    sweep = load_sweep(file)
    records, _ = StudyFolder(toy_files / "results" / "sweep").readable(sweep.cells[0].runs.values())
    by_seed = {record.spec.seed: record for record in records.values()}
    assert [by_seed[seed].status for seed in range(3)] == ["complete"] * 3
    assert len({str(by_seed[seed].fingerprint) for seed in range(3)}) == 3
    assert {record.val_images for record in records.values()} == {8}
    assert run("sweep", file, "--no-wandb", "--cpu") == 0  # nothing has changed, nothing is trained again
    again, _ = StudyFolder(toy_files / "results" / "sweep").readable(sweep.cells[0].runs.values())
    assert again == records
    capsys.readouterr()
    (root / "train" / "cat" / "0.png").unlink()
    assert run("sweep", file, "--no-wandb", "--cpu") != 0
    assert "the data are not those that sweep was trained on" in capsys.readouterr().err
