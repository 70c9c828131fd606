"""Runs in processes of their own, and what must be the same of two of them."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from sklab.launch.base import Ended, Job
from sklab.launch.local.launcher import LocalLauncher
from sklab.store.records import RunRecord
from sklab.store.run_folder import RunFolder

TIMEOUT = 120.0  # seconds that all runs of a test may take; a card needs a few


def train(launcher: LocalLauncher, *runs: RunFolder) -> list[RunRecord]:
    """Train all runs, as many at a time as there are places; their records."""
    waiting, ended = list(runs), []
    deadline = time.monotonic() + TIMEOUT
    while len(ended) < len(runs):
        while waiting and len(runs) - len(waiting) - len(ended) < launcher.capacity:
            launcher.submit(Job("train", waiting.pop(0).path))
        ended += next_ends(launcher, deadline)
    return [record_of(run) for run in runs]


def next_ends(launcher: LocalLauncher, deadline: float) -> list[Ended]:
    assert time.monotonic() < deadline, "it takes too long"
    return launcher.wait(1.0)


def record_of(run: RunFolder) -> RunRecord:
    record = run.read_record()
    assert record is not None, run.log_file.read_text() if run.log_file.exists() else "no log"
    return record


def weights(run: RunFolder) -> dict[str, Tensor]:
    return torch.load(run.weights_file, map_location="cpu", weights_only=True)  # type: ignore[no-any-return]


def assert_same(ours: RunFolder, theirs: RunFolder) -> None:
    """The same weights and metrics, bit for bit."""
    mine, other = weights(ours), weights(theirs)
    assert mine.keys() == other.keys()
    assert [name for name in mine if not torch.equal(mine[name], other[name])] == []
    assert _rows(ours) == _rows(theirs)


def _rows(run: RunFolder) -> list[str]:
    return [line.rpartition(",")[0] for line in run.metrics_file.read_text().splitlines()]  # without the seconds
