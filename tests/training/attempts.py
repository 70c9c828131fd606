"""Attempts of toy runs, and what has to be the same however many a run took."""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sklab.store.records import RunOrder, RunRecord
from sklab.store.run_folder import RunFolder
from sklab.training.run import train

CPU = torch.device("cpu")
PLAIN = {"epochs": 3, "augment": {"pad_crop": 2, "flip": True}}
FULL = {
    **PLAIN,
    "batch_size": 8,
    "mixup": 0.3,
    "ema_decay": 0.6,
    "accumulate": 3,  # 2 of an epoch's 8 batches are left over
    "clip_norm": 0.5,
    "warmup_epochs": 0.5,
    "label_smoothing": 0.1,
    "decay_norm_and_bias": False,
}


class DiedError(BaseException):
    """What no `except Exception` sees, just as kill -9."""


def dying(left: dict[str, int], name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """`call`, which lets the process die at its call number `left[name]`, from 0; never where that is -1."""

    def counting(*args: Any) -> Any:
        if left[name] == 0:
            raise DiedError
        left[name] -= 1
        return call(*args)

    return counting


def outcome(folder: RunFolder, record: RunRecord) -> tuple[dict[str, Tensor], list[Any]]:
    """All that must be the same, however often the run was interrupted."""
    with folder.metrics_file.open() as stream:
        rows = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(stream)]
    numbers = [record.status, record.epochs, record.last, record.best, record.best_epoch, rows]
    numbers.append(folder.images_file.read_bytes())
    return torch.load(folder.weights_file, weights_only=True), numbers


def assert_same(ours: tuple[dict[str, Tensor], list[Any]], theirs: tuple[dict[str, Tensor], list[Any]]) -> None:
    assert ours[1] == theirs[1]
    assert ours[0].keys() == theirs[0].keys()
    assert all(torch.equal(ours[0][name], theirs[0][name]) for name in ours[0])


def attempt(order: RunOrder, folder: RunFolder) -> RunRecord:
    folder.begin_attempt()
    return train(order, folder, CPU)


def died(order: RunOrder, folder: RunFolder) -> None:
    with pytest.raises(DiedError):
        attempt(order, folder)
    assert folder.read_record() is None
