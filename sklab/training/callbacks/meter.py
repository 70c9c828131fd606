"""What a run measures about itself: metrics per epoch in `metrics.csv`, time, speed and memory."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch

from sklab.spec.data import Fingerprint
from sklab.store.records import now
from sklab.training.lean_lightning import Callback, LightningModule, Trainer

METRICS = ("train_loss", "val_loss", "val_error", "lr")


class Meter(Callback):
    """Appends a row to `file` after each epoch and keeps the epochs' metrics and the time spent in training steps.

    A run that goes on from a checkpoint finds in `file` the epochs up to there, and no others.

    epochs         metrics by name, one mapping per finished epoch
    train_seconds  spent between the first and the last training step of the epochs, without validation
    first_step     UTC time of the first training step ("" before it)
    skipped_images  left out of the data because they can't be decoded; told by whoever opened the data
    fingerprint    of the data; told by the same
    peak_memory    the most that any device of the run held, in 10^6 bytes (0 until all have told)
    latency_ms     of one image through the evaluated network; told by whoever trained it (0 until then)
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._began = 0.0  # 0 outside the training steps of an epoch
        self._samples_per_epoch = 0
        self._rows: list[str] = []
        self.epochs: list[dict[str, float]] = []
        self.train_seconds = 0.0
        self.first_step = ""
        self.skipped_images = 0
        self.fingerprint: Fingerprint | None = None
        self.peak_memory = 0.0
        self.latency_ms = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        loader: Any = trainer.train_dataloader
        self._samples_per_epoch = int(trainer.num_training_batches) * loader.batch_size
        self._began = time.perf_counter()  # an epoch that was begun by an earlier attempt does not start again
        self._file.write_text("".join((",".join(("epoch", *METRICS, "seconds")) + "\n", *self._rows)), encoding="utf-8")

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: what is measured so far, the present epoch's part included."""
        return {
            "epochs": list(self.epochs),
            "rows": list(self._rows),
            "train_seconds": self.train_seconds + (time.perf_counter() - self._began if self._began else 0.0),
            "peak_memory": self.peak_memory,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs, self._rows = state_dict["epochs"], state_dict["rows"]
        self.train_seconds, self.peak_memory = state_dict["train_seconds"], state_dict["peak_memory"]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        self._began = time.perf_counter()

    def on_train_batch_start(self, *_: Any) -> None:
        self.first_step = self.first_step or now()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
        self.train_seconds += time.perf_counter() - self._began
        self._began = 0.0

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        row = {name: float(trainer.callback_metrics[name]) for name in METRICS}
        self.epochs.append(row)
        values = [str(len(self.epochs)), *(repr(row[name]) for name in METRICS), f"{self.train_seconds:.3f}"]
        self._rows.append(",".join(values) + "\n")
        with self._file.open("a", encoding="utf-8") as stream:
            stream.write(self._rows[-1])

    @property
    def samples_per_second(self) -> float:
        """Training images per second of `train_seconds`."""
        return len(self.epochs) * self._samples_per_epoch / self.train_seconds if self.train_seconds else 0.0

    @property
    def best_epoch(self) -> int:
        """The first epoch, from 1, with the lowest val_error; 0 before any."""
        errors = [epoch["val_error"] for epoch in self.epochs]
        return 1 + errors.index(min(errors)) if errors else 0


def peak_memory_mb(device: torch.device) -> float:
    """The most memory held so far, in 10^6 bytes: by torch on a GPU, by this process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
