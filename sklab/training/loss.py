"""The loss of a training batch, plain or mixed up, and the sums of an evaluation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklab.data.augment import mixup_draw
from sklab.spec.train import TrainSpec
from sklab.training.collective import total


def batch_loss(
    model: nn.Module, batch: tuple[Tensor, Tensor], recipe: TrainSpec, place: tuple[int, int, int]
) -> Tensor:
    """Mean cross-entropy of (images [B, C, H, W], labels [B]), with the recipe's label smoothing and mixup.

    `place` is (seed, epoch, number of the batch), which decides what is mixed with what. Mixup (Zhang et al., 2018,
    equation 2): images and one-hot labels are both share * own + (1 - share) * partner's. Where several devices share a
    batch, `share` is that of the whole batch, and partners are found within each device's part.
    """
    images, labels = batch
    if not recipe.mixup:
        return F.cross_entropy(model(images), labels, label_smoothing=recipe.label_smoothing)
    share, drawn = mixup_draw(recipe.mixup, len(labels), *place)
    partner = torch.from_numpy(drawn).to(labels.device, non_blocking=True)
    # In place on a copy: that keeps the strides, which decide how one-channel images are convolved.
    logits = model(images.clone().lerp_(images[partner], 1 - share))
    own, other = (
        F.cross_entropy(logits, each, label_smoothing=recipe.label_smoothing) for each in (labels, labels[partner])
    )
    return share * own + (1 - share) * other


class Scores:
    """Sums over an evaluation, kept on the device so that no batch waits for them.

    loss   mean cross-entropy so far
    error  top-1 error so far, in %
    """

    def __init__(self) -> None:
        self._loss: Tensor | float = 0.0
        self._wrong: Tensor | float = 0.0
        self.seen = 0

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Count a batch: logits [B, classes] of any float type, labels int64 [B]."""
        logits = logits.float()
        self._loss = self._loss + F.cross_entropy(logits, labels, reduction="sum")
        self._wrong = self._wrong + (logits.argmax(1) != labels).sum()
        self.seen += len(labels)

    def over_devices(self) -> None:
        """Make these the sums over all devices of the run. Every device must call it."""
        self.seen = int(total(torch.full_like(torch.as_tensor(self._wrong), self.seen)))
        self._loss, self._wrong = total(self._loss), total(self._wrong)

    @property
    def loss(self) -> Tensor | float:
        return self._loss / self.seen

    @property
    def error(self) -> Tensor | float:
        return 100.0 * self._wrong / self.seen
