"""The network and its recipe as a LightningModule: loss, error, optimiser and learning rate."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from sklab.spec.train import TrainSpec

_CHECK_EVERY = 50  # steps between two looks for a non-finite loss; each look waits for the device


class DivergedError(Exception):
    """The loss is no longer a finite number."""


class Classifier(LightningModule):
    """Trains `model` (images [N, C, H, W] to logits [N, classes]) by the recipe.

    Logs, per epoch: train_loss, val_loss (mean cross-entropy; with label smoothing in training only) and
    val_error (top-1 error in %). Sums stay on the device until the epoch ends, so that no step waits for them.
    """

    def __init__(self, model: nn.Module, recipe: TrainSpec, steps_per_epoch: int) -> None:
        super().__init__()
        self.model = model
        self.recipe = recipe
        self._steps_per_epoch = steps_per_epoch
        self._train_loss: Tensor | float = 0.0
        self._val_loss: Tensor | float = 0.0
        self._val_wrong: Tensor | float = 0.0
        self._val_seen = 0

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        loss = F.cross_entropy(self.model(images), labels, label_smoothing=self.recipe.label_smoothing)
        self._train_loss = self._train_loss + loss.detach()
        if batch_idx % _CHECK_EVERY == 0:
            self._stop_unless_finite(self._train_loss, "training loss")
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        images, labels = batch
        logits = self.model(images).float()
        self._val_loss = self._val_loss + F.cross_entropy(logits, labels, reduction="sum")
        self._val_wrong = self._val_wrong + (logits.argmax(1) != labels).sum()
        self._val_seen += len(labels)

    def on_train_epoch_start(self) -> None:
        self._train_loss = 0.0

    def on_validation_epoch_start(self) -> None:
        self._stop_unless_finite(self._train_loss, "training loss")
        self._val_loss, self._val_wrong, self._val_seen = 0.0, 0.0, 0

    def on_validation_epoch_end(self) -> None:
        self._stop_unless_finite(self._val_loss, "validation loss")
        self.log("train_loss", self._train_loss / self._steps_per_epoch)
        self.log("val_loss", self._val_loss / self._val_seen)
        self.log("val_error", 100.0 * self._val_wrong / self._val_seen)
        self.log("lr", self.trainer.optimizers[0].param_groups[0]["lr"])

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        recipe = self.recipe
        optimizer = torch.optim.SGD(
            self.model.parameters(),
            recipe.lr,
            recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.nesterov,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        return learning_rate(self.recipe, step / self._steps_per_epoch) / self.recipe.lr

    def _stop_unless_finite(self, total: Tensor | float, what: str) -> None:
        if not math.isfinite(float(total)):
            raise DivergedError(f"non-finite {what} in epoch {self.current_epoch + 1}")


def learning_rate(recipe: TrainSpec, epoch: float) -> float:
    """The learning rate after `epoch` epochs (a fraction inside one): linear warm-up from 0, then steps or a cosine."""
    if epoch < recipe.warmup_epochs:
        return recipe.lr * epoch / recipe.warmup_epochs
    if recipe.schedule == "step":
        return float(recipe.lr * recipe.step_factor ** (int(epoch) // recipe.step_every))
    done = (epoch - recipe.warmup_epochs) / (recipe.epochs - recipe.warmup_epochs)
    return recipe.lr * (1 + math.cos(math.pi * min(done, 1.0))) / 2
