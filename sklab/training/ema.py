"""The exponential moving average of a network's weights."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class Average:
    """Follows a network: a = w_1 after the first update, then a <- decay a + (1 - decay) w.

    The running statistics of batch norm are averaged alike, so that they fit the averaged weights.

    network  a copy that holds the averages, in eval mode
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self._pairs = list(zip(self.network.state_dict().values(), network.state_dict().values(), strict=True))
        self._weight, self._begun = 1 - decay, False

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on from here."""
        return {"network": self.network.state_dict(), "begun": self._begun}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self._begun = state["begun"]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the network's present weights. Nothing here waits for the device."""
        for mean, now in self._pairs:
            if self._begun and mean.is_floating_point():
                mean.lerp_(now, self._weight)
            else:
                mean.copy_(now)
        self._begun = True
