"""What a run measures about itself and says in its log: metrics per epoch, time, speed, memory, latency."""

from __future__ import annotations

import logging
import resource
import statistics
import sys
import time
import traceback
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sklab.data.loaders import Facts
from sklab.spec.run import Experiment
from sklab.store.records import Evaluation, RunOrder, RunRecord, now
from sklab.training.lean_lightning import Callback, LightningModule, Trainer

METRICS = ("train_loss", "val_loss", "val_error", "lr")
_WARM_UP, _PASSES, _SECONDS = 3, 30, 1.0  # no more passes than these, and none begun after so many seconds
_log = logging.getLogger(__name__)


class Meter(Callback):
    """Appends a row to `file` after each epoch and keeps the epochs' metrics and the time spent in training steps.

    A run that goes on from a checkpoint finds in `file` the epochs up to there, and no others.

    epochs         metrics by name, one mapping per finished epoch
    train_seconds  spent between the first and the last training step of the epochs, without validation
    first_step     UTC time of the first training step ("" before it)
    facts          of the data; set by the caller that opened it
    peak_memory    the most that any device of the run held, in 10^6 bytes (0 until all have reported)
    latency_ms     of one image through the evaluated network; set by the caller that trained it (0 until then)
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._began = 0.0  # 0 outside the training steps of an epoch
        self._samples_per_epoch = 0
        self._rows: list[str] = []
        self.epochs: list[dict[str, float]] = []
        self.train_seconds = 0.0
        self.first_step = ""
        self.facts = Facts()
        self.peak_memory = 0.0
        self.latency_ms = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        loader: Any = trainer.train_dataloader
        self._samples_per_epoch = int(trainer.num_training_batches) * loader.batch_size
        self._began = time.perf_counter()  # an epoch that was begun by an earlier attempt does not start again
        self._file.write_text("".join((",".join(("epoch", *METRICS, "seconds")) + "\n", *self._rows)), encoding="utf-8")

    def state_dict(self) -> dict[str, Any]:
        """What is measured so far, the current epoch included, for a checkpoint."""
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


class Logbook(Callback):
    """Logs the start and each epoch; `meter` is called before and has measured it."""

    def __init__(self, order: RunOrder, meter: Meter) -> None:
        self._order, self._meter = order, meter

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        order, done = self._order, len(self._meter.epochs)
        what = f"{order.cell}, seed {order.spec.seed}: training on {pl_module.device}"
        plan = f"{trainer.max_epochs} epochs of {trainer.num_training_batches} batches"
        _log.info("%s, %s%s", what, plan, f", {done} done by earlier attempts" if done else "")

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:  # noqa: ARG002
        epoch, number = self._meter.epochs[-1], len(self._meter.epochs)
        losses = f"val_loss {epoch['val_loss']:.4g}, train_loss {epoch['train_loss']:.4g}"
        _log.info("epoch %d of %s: val_error %.2f %%, %s", number, trainer.max_epochs, epoch["val_error"], losses)


def log_end(record: RunRecord) -> None:
    """Tell how a run ended."""
    why = f": {record.reason}" if record.reason else ""
    _log.info("%s after %d epochs, %.1f s%s", record.state, record.epochs, record.wall_seconds, why)


def log_evaluation(evaluation: Evaluation) -> None:
    """Log an evaluation after the end of training."""
    size, error = evaluation.image_size, evaluation.val_error
    _log.info("evaluated on %d images at %d px: val_error %.2f %%", evaluation.images, size, error)


def log_to_stderr() -> None:
    """Have this process print sklab's log of its run on standard error, with the time in UTC."""
    form = logging.Formatter("%(asctime)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%SZ")
    form.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(form)
    logger = logging.getLogger("sklab")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
