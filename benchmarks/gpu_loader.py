"""Section of gpu.py: how many image files a second come from worker processes to the card."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from gpu_measure import Bench, Row, attempt
from loader import ours, rate, write_images

DISTINCT = 64  # the others are links to these


def loader(bench: Bench) -> Iterator[Row]:
    """Training epochs of JPEGs of 500 x 375 pixels, in batches of 64 at 224 x 224. gpu.py keeps the files in memory."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_images(root, DISTINCT, 500, 375)
        _link(root / "train", bench.size(8192, 128))
        for workers in bench.size((8, 16), (1, 2)):
            yield attempt(f"{workers} workers on {os.cpu_count()} cores", _rate, bench, root, workers)


def _link(split: Path, images: int) -> None:
    for number in range(DISTINCT, images):
        name = split / "ab"[number % 2]
        os.link(name / f"{number % DISTINCT}.jpg", name / f"{number}.jpg")


def _rate(bench: Bench, root: Path, workers: int) -> Row:
    """The best of the epochs after the first, in which the workers start."""
    torch.set_num_threads(workers)  # by which sklab takes as many workers
    batches = ours(root, bench.device).train
    return {"images/s": max([rate(batches, bench.device).wall for _ in range(bench.size(4, 2))][1:])}
