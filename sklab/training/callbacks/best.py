"""The weights of the best epoch so far."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sklab.store.files import write_whole
from sklab.training.callbacks.meter import Meter
from sklab.training.lean_lightning import Callback, LightningModule, Trainer


class BestWeights(Callback):
    """Holds the evaluated network's weights at the epoch of lowest val_error, in memory and in every checkpoint.
    `meter` is called before and knows that epoch."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._weights: dict[str, Tensor] = {}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        if self._meter.best_epoch == len(self._meter.epochs):
            network: Any = pl_module.evaluated
            self._weights = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self._weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._weights = state_dict["weights"]

    def write(self, file: Path) -> None:
        """Write them into `file`, unless they are those of the last epoch, which every run keeps."""
        if self._meter.best_epoch != len(self._meter.epochs):
            write_weights(file, self._weights)


def write_weights(file: Path, weights: dict[str, Tensor]) -> None:
    """Write tensors of the CPU."""
    content = io.BytesIO()
    torch.save(weights, content)
    write_whole(file, content.getvalue())
