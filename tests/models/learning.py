"""A few steps of training on one batch."""

from __future__ import annotations

from torch import Tensor, nn
from torch.optim import Optimizer


def learn(model: nn.Module, images: Tensor, labels: Tensor, optimizer: Optimizer, steps: int) -> list[float]:
    """The loss before each step; every parameter has taken part.

    The last bits of the first steps decide the first digits of the last ones, and differ between processors: what is
    asserted of the losses must hold by far, for many seeds.
    """
    losses = []
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(parameter.grad is not None for parameter in model.parameters())
    return losses
