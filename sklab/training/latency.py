"""How long the network takes for one image: measured once, when a run has been evaluated for the last time."""

from __future__ import annotations

import statistics
import time
import traceback
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from sklab.spec.run import Experiment
from sklab.training.lean_lightning import Callback, Trainer

_WARM_UP, _PASSES, _SECONDS = 3, 30, 1.0  # no more passes than these, and none begun after so many seconds


def latency_ms(network: nn.Module, image: Tensor, precision: AbstractContextManager[Any]) -> float:
    """The median time in ms of a forward pass of `image` [1, C, H, W], on its device; as written, not compiled.

    `network` stays in the mode that it is in, and no random number is drawn.
    """
    times: list[float] = []
    with torch.inference_mode(), precision:
        began = time.perf_counter()
        while len(times) < _WARM_UP + _PASSES and (len(times) <= _WARM_UP or time.perf_counter() - began < _SECONDS):
            times.append(_timed(network, image))
    return 1000 * statistics.median(times[_WARM_UP:])


def _timed(network: nn.Module, image: Tensor) -> float:
    start = time.perf_counter()
    network.forward(image)
    if image.is_cuda:
        torch.cuda.synchronize(image.device)
    return time.perf_counter() - start


class LatencyMeter(Callback):
    """Has `latency_ms` of the evaluated network after the final evaluation; 0 before, and where it can't be measured.

    Nothing that goes wrong in here ends the run: it is printed into its log.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._shape = (experiment.model.in_channels, *(2 * [experiment.data.image_size]))
        self.latency_ms = 0.0

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        if trainer.current_epoch + 1 < (trainer.max_epochs or 0):
            return
        try:
            image = torch.linspace(-1, 1, torch.Size(self._shape).numel(), device=pl_module.device)
            precision = trainer.precision_plugin.forward_context()
            self.latency_ms = latency_ms(pl_module.evaluated, image.view(1, *self._shape), precision)
        except Exception:
            traceback.print_exc()
