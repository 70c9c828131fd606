"""The network and its recipe as a LightningModule, and the Trainer that runs and probes have."""

from __future__ import annotations

import logging
import math
import warnings
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sklab.models.compiled import compiled, filled
from sklab.models.counters import BatchCounters
from sklab.spec.train import TrainSpec
from sklab.training.devices import copy_buffers, total
from sklab.training.lean_lightning import LightningModule, OptimizerLRSchedulerConfig, Trainer
from sklab.training.metrics.scores import NOTHING, Kept, Scores
from sklab.training.recipe import (
    Average,
    align_gradients,
    batch_loss,
    drawn_mixture,
    learning_rate,
    make_optimizer,
)

CHECK_EVERY = 50  # steps between two looks for a non-finite loss; each look waits for the device
_PRECISION: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "fp32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}


class DivergedError(Exception):
    """The loss is no longer a finite number."""


class Classifier(LightningModule):
    """Trains `model` (images [N, C, H, W] to logits [N, classes]) by the recipe, `batches` of them an epoch.

    Logs, per epoch: train_loss (the recipe's, with smoothed and mixed labels), val_loss (mean cross-entropy) and
    val_error (top-1 error in %); and the further metrics that are `kept`. Sums stay on the device until the epoch ends,
    so that no step waits for them. All are those of the whole run, on each of its devices.

    scores  of the last evaluation, with what is `kept` of each image that this device evaluates
    trunk   names of the parameters that the network started from
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: TrainSpec,
        seed: int,
        batches: int,
        kept: Kept = NOTHING,
        trunk: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__()
        self.model = model
        self.recipe, self._trunk = recipe, trunk
        self._seed, self.batches = recipe.sources(seed).augment, batches
        self.average = Average(model, recipe.ema_decay) if recipe.ema_decay else None
        self._counters = BatchCounters(model)
        self.train_loss: Tensor | float = 0.0  # summed up over this device's part of the epoch so far
        self.scores, self._kept = Scores("cpu"), kept
        self._compiled = compiled(model) if recipe.compile else None
        self._largest = 0  # batch of an evaluation so far

    @property
    def evaluated(self) -> nn.Module:
        """The network that is evaluated and kept: the average of the weights where the recipe has one."""
        return self.average.network if self.average is not None else self.model

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.trainer.optimizers[0].param_groups[0]["lr"])

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        mixture = drawn_mixture(self.recipe, batch[0], (self._seed, self.current_epoch, batch_idx))
        with self._counters.counted_at_once():
            loss = batch_loss(self._compiled or self.model, batch, self.recipe, mixture)
        self.train_loss = self.train_loss + loss.detach()
        if batch_idx % CHECK_EVERY == 0:
            self._stop_unless_finite(total(self.train_loss), "training loss")
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Take one step, then update the averaged weights."""
        super().optimizer_step(*args, **kwargs)
        if self.average is not None:
            self.average.update()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:  # noqa: ARG002
        if self.device.type == "cuda":
            align_gradients(self.model.parameters())

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        images, labels = batch
        self.scores.add(self._evaluate(images), labels)

    def _evaluate(self, images: Tensor) -> Tensor:
        """The logits of `images`. Nothing is compiled anew for the last batch, which may be smaller."""
        if self._compiled is None or self.average is not None:
            logits: Tensor = self.evaluated(images)
            return logits
        self._largest = max(self._largest, len(images))
        return self._compiled(filled(images, self._largest))[: len(images)]

    def on_train_epoch_start(self) -> None:
        self.train_loss = 0.0

    def on_validation_epoch_start(self) -> None:
        self.train_loss = total(self.train_loss)
        self._stop_unless_finite(self.train_loss, "training loss")
        copy_buffers(self.evaluated)
        self.scores = Scores(self.device, self._kept)

    def on_validation_epoch_end(self) -> None:
        self.scores.over_devices()
        self._stop_unless_finite(self.scores.loss, "validation loss")
        self.log("train_loss", self.train_loss / (self.batches * self.recipe.devices))
        self.log("val_loss", self.scores.loss)
        self.log("val_error", self.scores.error)
        for name, value in self.scores.further.items():
            self.log(name, torch.tensor(value, dtype=torch.float64))
        self.log("lr", self.rate)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = make_optimizer(self.model, self.recipe, self._trunk)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        """Share of the recipe's learning rate after `step` optimizer steps."""
        return learning_rate(self.recipe, step * self.recipe.accumulate / self.batches) / self.recipe.lr

    def _stop_unless_finite(self, total: Tensor | float, what: str) -> None:
        if not math.isfinite(float(total)):
            raise DivergedError(f"non-finite {what} in epoch {self.current_epoch + 1}")


def make_trainer(recipe: TrainSpec, device: torch.device, folder: Path, **more: Any) -> Trainer:
    """A Trainer with the precision, accumulation and clipping of `recipe`; `more` are further arguments of Trainer's.

    It says less than Lightning's own, and writes nothing but what its callbacks and plugins write.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # The loaders need no advice on worker counts, and logging happens once an epoch on purpose.
    warnings.filterwarnings("ignore", module="lightning.pytorch")
    warnings.filterwarnings("ignore", "The `srun` command is available")  # where Slurm is, each task is one of our runs
    return Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        precision=_PRECISION[recipe.precision],
        accumulate_grad_batches=recipe.accumulate,
        gradient_clip_val=recipe.clip_norm or None,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=folder,
        **more,
    )
