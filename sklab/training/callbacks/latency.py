"""The latency of one image: launched operation by operation and, on a GPU, as the replay of a CUDA graph."""

from __future__ import annotations

import logging
import statistics
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from sklab.spec.run import Experiment
from sklab.training.lean_lightning import Callback, Trainer
from sklab.training.replay import steps
from sklab.training.replay.steps import NotRecordableError, recorded

_WARM_UP, _PASSES, _SECONDS = 3, 30, 1.0  # no more passes than these, and none begun after so many seconds
_log = logging.getLogger(__name__)


def latency_ms(network: nn.Module, image: Tensor, precision: AbstractContextManager[Any]) -> float:
    """The median time in ms of a forward pass of `image` [1, C, H, W], on its device; as written, not compiled.

    `network` stays in the mode that it is in, and no random number is drawn.
    """
    with torch.inference_mode(), precision:
        return _median_ms(lambda: network.forward(image), image.device)


def replay_latency_ms(network: nn.Module, image: Tensor, precision: AbstractContextManager[Any]) -> float:
    """The same for a replay of the pass, which leaves out what it costs to launch its operations; 0 where nothing can
    be replayed."""
    device = image.device
    if device.type not in steps.REPLAYED:
        return 0.0
    own = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
    with torch.inference_mode(), precision, torch.cuda.stream(own):
        network.forward(image)  # what libraries need on a stream, they take at their first call there
        try:
            return _median_ms(recorded(lambda: network.forward(image), device), device)
        except NotRecordableError as error:
            _log.warning("the latency of a replay can't be measured: %s", error)
            return 0.0


def _median_ms(forward: Callable[[], object], device: torch.device) -> float:
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < _WARM_UP + _PASSES and (len(times) <= _WARM_UP or time.perf_counter() - began < _SECONDS):
        times.append(_timed(forward, device))
    return 1000 * statistics.median(times[_WARM_UP:])


def _timed(forward: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    forward()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


class LatencyMeter(Callback):
    """Has `latency_ms` and `replay_ms` of the evaluated network after the final evaluation; 0 before, and where they
    can't be measured.

    Nothing that goes wrong in here ends the run: it is printed into its log.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._shape = (experiment.model.in_channels, *(2 * [experiment.data.image_size]))
        self.latency_ms = self.replay_ms = 0.0

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        if trainer.current_epoch + 1 < (trainer.max_epochs or 0):
            return
        network, precision = pl_module.evaluated, trainer.precision_plugin.forward_context
        try:
            image = torch.linspace(-1, 1, torch.Size(self._shape).numel(), device=pl_module.device)
            image = image.view(1, *self._shape)
            self.latency_ms = latency_ms(network, image, precision())
            self.replay_ms = replay_latency_ms(network, image, precision())
        except Exception:
            traceback.print_exc()
