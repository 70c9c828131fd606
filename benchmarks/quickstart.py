"""Recipes for the quickstart: what K3 and K3+K5 SK reach with each, and in how much training time.

    python benchmarks/quickstart.py

Trains both cells with seeds 0 and 1 by every recipe, two runs at a time with one thread each as `sklab sweep` does on
two cores, and evaluates them on 8,000 images. Each recipe sees about 20,000 images, but for the narrow network.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import fmean

import yaml

from sklab.cli import main
from sklab.store.study_folder import StudyFolder

ROOT = Path(__file__).parents[1]
RECIPES: dict[str, dict[str, float]] = {
    "6 x 3,300, batch 64": {"train.epochs": 6, "data.train_size": 3300, "train.batch_size": 64},
    "6 x 3,300": {"train.epochs": 6, "data.train_size": 3300},
    "6 x 3,300, lr 0.1": {"train.epochs": 6, "data.train_size": 3300, "train.lr": 0.1},
    "6 x 3,300, batch 16, lr 0.1": {
        "train.epochs": 6, "data.train_size": 3300, "train.batch_size": 16, "train.lr": 0.1,
    },
    "6 x 3,300, label smoothing 0.1": {"train.epochs": 6, "data.train_size": 3300, "train.label_smoothing": 0.1},
    "12 x 3,300, half the width": {
        "train.epochs": 12, "data.train_size": 3300, "model.width": 8, "model.out_width": 16,
    },
    "5 x 4,000": {"train.epochs": 5, "data.train_size": 4000},
    "4 x 5,000": {"train.epochs": 4, "data.train_size": 5000},
    "3 x 6,600": {"train.epochs": 3, "data.train_size": 6600},
}  # fmt: skip
CELLS = ("K3", "K3+K5 SK")


def measured(recipe: dict[str, float], results: Path) -> str:
    """The row of a recipe: per cell, training seconds, error, and how much of it fell in the last epoch."""
    sweep = yaml.safe_load((ROOT / "sweeps/kernels.yaml").read_text(encoding="utf-8"))
    kept = {key: sweep[key] for key in ("design", "metric", "baseline")}
    cells = [cell for cell in sweep["cells"] if cell["name"] in CELLS]
    file = results / "screen.yaml"
    file.write_text(
        yaml.safe_dump({**kept, "experiment": str(ROOT / "experiments/quickstart.yaml"), "seeds": 2, "cells": cells})
    )
    settings = [part for path, value in recipe.items() for part in ("--set", f"{path}={value}")]
    command = ["sweep", str(file), "--set", "data.val_size=8000", *settings, "--results", str(results), "--no-wandb"]
    if main(command):
        raise SystemExit(f"{recipe}: a run failed")
    (study,) = (folder for folder in results.iterdir() if folder.is_dir() and (folder / "sweep.yaml").exists())
    records = list(StudyFolder(study).records().values())
    of_cells = [[record for record in records if record.cell == cell] for cell in CELLS]
    seconds = " / ".join(f"{fmean(record.train_seconds for record in runs):.1f}" for runs in of_cells)
    errors = " / ".join(f"{fmean(record.last['val_error'] for record in runs):.1f}" for runs in of_cells)
    falls = (fmean(record.previous["val_error"] - record.last["val_error"] for record in runs) for runs in of_cells)
    return f"{seconds} | {errors} | {' / '.join(f'{fall:.1f}' for fall in falls)}"


if __name__ == "__main__":
    for name, recipe in RECIPES.items():
        with tempfile.TemporaryDirectory() as folder:
            row = measured(recipe, Path(folder))
        print(f"| {name} | {row} |", flush=True)
