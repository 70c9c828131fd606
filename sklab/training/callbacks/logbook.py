"""The log of a run: what is trained on what, each epoch, and how it ended."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from sklab.spec.study.metrics import METRICS as MEASURES
from sklab.spec.train import TrainSpec
from sklab.store.measured.scores import Evaluation, FinalScore
from sklab.store.records import RunOrder, RunRecord
from sklab.system.machine import cpu_name
from sklab.system.terminal import one_line, quantity
from sklab.training.callbacks.meter import METRICS, Meter
from sklab.training.determinism import gpu_names
from sklab.training.lean_lightning import Callback, LightningModule, Trainer

_LONGEST = 400  # characters of a recipe
_log = logging.getLogger(__name__)


class Logbook(Callback):
    """Logs what the run is, attempt number `attempt`, as it starts, and each epoch; `meter` is called before and has
    measured it."""

    def __init__(self, order: RunOrder, meter: Meter, attempt: int = 1) -> None:
        self._order, self._meter, self._attempt = order, meter, attempt

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        order, recipe, batches = self._order, self._order.experiment.train, int(trainer.num_training_batches)
        where = f"{device_name(pl_module.device, recipe.devices)}, torch {torch.__version__}"
        _log.info(f"{order.cell}, seed {order.spec.seed}: attempt {self._attempt} at run {order.key} of {order.study}")
        _log.info(f"training on {pl_module.device}: {where}, {quantity(torch.get_num_threads(), 'thread')}")
        _log.info(f"data: {self._data(batches * recipe.batch_size)}")
        _log.info(f"network: {self._network(pl_module)}")
        _log.info(f"recipe: {recipe_in_a_line(recipe)}")
        _log.info(self._beginning(trainer.global_step, batches))

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:  # noqa: ARG002
        meter = self._meter
        epoch, number, seconds = meter.epochs[-1], len(meter.epochs), meter.last_seconds
        images = int(trainer.num_training_batches) * self._order.experiment.train.batch_size
        losses = f"train_loss {epoch['train_loss']:.4g}, val_loss {epoch['val_loss']:.4g}"
        pace = f"lr {epoch['lr']:.4g}, {seconds:.1f} s, {images / max(seconds, 1e-9):,.0f} images/s"
        further = "".join(f", {told(name, value)}" for name, value in epoch.items() if name not in METRICS)
        what = f"val_error {epoch['val_error']:.2f} %, {losses}, {pace}{further}"
        _log.info(f"epoch {number} of {trainer.max_epochs}: {what}")

    def _data(self, images: int) -> str:
        data, facts = self._order.experiment.data, self._meter.facts
        skipped = f", {facts.skipped_images:,} skipped that can't be decoded" if facts.skipped_images else ""
        size = f"{data.channels}x{data.image_size}x{data.image_size}"
        split = f"{images:,} images an epoch, {facts.val_images:,} for validation{skipped}"
        return f"{data.name}, {split}, {size}, {data.num_classes:,} classes"

    def _network(self, module: Any) -> str:
        parameters = list(module.evaluated.parameters())
        size = f"{sum(parameter.numel() for parameter in parameters):,} parameters"
        trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
        return f"{self._order.experiment.model.family}, {size}{self._start(trained)}"

    def _start(self, trained: int) -> str:
        """What the network started from, where it was trained before."""
        return f", {trained:,} of them trained; {self._meter.start}" if self._meter.start else ""

    def _beginning(self, step: int, batches: int) -> str:
        epochs, done = quantity(self._order.experiment.train.epochs, "epoch"), len(self._meter.epochs)
        plan = f"{epochs} of {'1 batch' if batches == 1 else f'{batches} batches'}"
        if not step:
            return f"starts anew: {plan}"
        return f"goes on from step {step}: {plan}, {done} done by earlier attempts"


def device_name(device: torch.device, devices: int = 1) -> str:
    """The processor or the GPU, as its maker calls it; the distinct ones of several."""
    return gpu_names(device, devices) if device.type == "cuda" else cpu_name()


def recipe_in_a_line(recipe: TrainSpec) -> str:
    """The settings of the recipe that are not the default ones, under their names."""
    text = one_line(", ".join(_settings(recipe.model_dump(exclude_defaults=True))))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _settings(tree: Mapping[str, Any], place: str = "") -> Iterator[str]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _settings(value, f"{place}{name}.")
        else:
            yield f"{place}{name} {value}"


def log_end(record: RunRecord) -> None:
    """Tell how a run ended, with what and where its weights are."""
    why = f": {record.reason}" if record.reason else ""
    _log.info(f"{record.state} after {quantity(record.epochs, 'epoch')}, {record.wall_seconds:.1f} s{why}")
    if record.status == "complete":
        weights = " and ".join(name for name in ("weights.pt", "best.pt") if name in record.files)
        error = f"val_error {record.last['val_error']:.2f} %, lowest {record.best['val_error']:.2f} %"
        _log.info(f"{error} in epoch {record.best_epoch}; weights beside this log: {weights}")


def log_evaluation(evaluation: Evaluation) -> None:
    """Log an evaluation after the end of training."""
    size, error = evaluation.image_size, evaluation.val_error
    _log.info("evaluated on %d images at %d px: val_error %.2f %%", evaluation.images, size, error)


def log_metrics(metrics: Mapping[str, float]) -> None:
    """Log further metrics after the end of training."""
    _log.info("evaluated: %s", ", ".join(told(name, value) for name, value in metrics.items()))


def told(name: str, value: float) -> str:
    """A metric with its unit, in as many digits as it has."""
    measure = MEASURES[name]
    return f"{name} {value:.{measure.digits}f} {measure.unit}".rstrip()


def log_tested(tested: FinalScore) -> None:
    """Log the evaluation on the test split."""
    _log.info("evaluated on %d test images with the weights of epoch %d", tested.images, tested.epoch)


def log_to_stderr() -> None:
    """Have this process print sklab's log of its run on standard error, with the time in UTC."""
    form = logging.Formatter("%(asctime)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%SZ")
    form.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(form)
    logger = logging.getLogger("sklab")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
