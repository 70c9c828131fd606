"""A run that the runner wants to end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from sklab.store.run_folder import RunFolder
from sklab.training.callbacks.resume import ExactResume
from sklab.training.run import train

CPU = torch.device("cpu")


def test_a_run_that_is_asked_to_ends_as_pruned_with_what_it_has(
    toy_order: Callable, tmp_path: Path, monkeypatch
) -> None:
    def asked_after_two(self: ExactResume, *args: object) -> None:
        epoch_end(self, *args)
        if args[0].current_epoch + 1 == 2:
            folder.ask_to_prune("it looks worse than others")

    epoch_end = ExactResume.on_train_epoch_end
    monkeypatch.setattr(ExactResume, "on_train_epoch_end", asked_after_two)
    order, folder = toy_order(train={"epochs": 9}).model_copy(update={"checkpoint_seconds": 0}), RunFolder(tmp_path)
    record = train(order, folder, CPU)
    assert record == folder.read_record()
    assert (record.status, record.failure, record.reason) == ("pruned", None, "it looks worse than others")
    assert record.final
    assert 2 <= record.epochs <= 3
    assert record.last["val_error"] > 0 < record.params
    assert len(folder.metrics_file.read_text().splitlines()) == 1 + record.epochs
    left = (folder.prune_file, folder.weights_file, *folder.checkpoints.glob("*.ckpt"))
    assert not any(file.exists() for file in left)


def test_asked_in_its_last_epoch_it_is_complete(toy_order: Callable, tmp_path: Path, monkeypatch) -> None:
    folder, saved = RunFolder(tmp_path), []

    def asked(self: ExactResume, *args: object) -> None:
        if args[0].current_epoch + 1 == args[0].max_epochs:
            folder.ask_to_prune("too late")
            saved.append(args)
        epoch_end(self, *args)

    epoch_end = ExactResume.on_train_epoch_end
    monkeypatch.setattr(ExactResume, "on_train_epoch_end", asked)
    assert train(toy_order(), folder, CPU).status == "complete"
    assert saved
    assert not folder.prune_file.exists()
