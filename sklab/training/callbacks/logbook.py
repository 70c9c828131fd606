"""What a run does, in a line each for its log: the start, every epoch, the end."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from sklab.store.records import Evaluation, RunOrder, RunRecord
from sklab.training.callbacks.meter import Meter
from sklab.training.lean_lightning import Callback, LightningModule, Trainer

_log = logging.getLogger(__name__)


class Logbook(Callback):
    """Tells of the start and of each epoch; `meter`, which is called before, has measured it."""

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
    """Tell of an evaluation after the end."""
    size, error = evaluation.image_size, evaluation.val_error
    _log.info("evaluated on %d images at %d px: val_error %.2f %%", evaluation.images, size, error)


def keep_log() -> None:
    """Have this process print what sklab tells of its run, with the time in UTC."""
    told = logging.Formatter("%(asctime)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%SZ")
    told.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(told)
    ours = logging.getLogger("sklab")
    ours.handlers = [handler]
    ours.setLevel(logging.INFO)
