"""Batch norms are counted at once: the same counters, weights and names as when each counts for itself."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sklab.models.counters import BatchCounters
from sklab.models.zoo import build
from sklab.spec.networks import network


class Watch(TorchFunctionMode):
    """Keeps the integer tensors that were added to, and how often all were added to at once."""

    def __init__(self) -> None:
        super().__init__()
        self.single, self.together = 0, 0

    def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.together += func is torch._foreach_add_
        self.single += func is Tensor.add_ and not args[0].is_floating_point()
        return func(*args, **(kwargs or {}))


def passed(model: nn.Module, images: Tensor, counters: BatchCounters | None) -> dict[str, Tensor]:
    """The state after a step of training."""
    if counters is None:
        loss = model(images).square().mean()
    else:
        with counters.counted_at_once():
            loss = model(images).square().mean()
    loss.backward()
    torch.optim.SGD(model.parameters(), 0.1).step()
    return copy.deepcopy(model.state_dict())


def test_all_are_counted_at_once_and_the_state_is_the_same_to_the_last_bit():
    torch.manual_seed(0)
    model = build(network("sknet_small"))
    twin, images = copy.deepcopy(model), torch.randn(4, 1, 16, 16)
    counters = BatchCounters(model)
    for count in (1, 2):
        with Watch() as watch:
            found = passed(model, images, counters)
        expected = passed(twin, images, None)
        assert list(found) == list(expected)
        assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())
        assert {int(value) for name, value in found.items() if name.endswith("num_batches_tracked")} == {count}
        assert (watch.single, watch.together) == (0, 1)


def test_layers_that_do_not_train_are_not_counted():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3), nn.BatchNorm1d(3, track_running_stats=False))
    model[0].eval()
    counters = BatchCounters(model)
    passed(model, torch.randn(4, 3), counters)
    assert [layer.num_batches_tracked for layer in model] == [0, 1, None]
    with counters.counted_at_once():
        model.eval()(torch.randn(4, 3))


class Doubling(nn.BatchNorm1d):
    """Has a forward pass of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def test_layers_that_need_their_counter_count_for_themselves():
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm1d(3, momentum=None), Doubling(3))
    twin, counters = copy.deepcopy(model), BatchCounters(model)
    for _ in range(3):
        images = torch.randn(4, 3)
        found, expected = passed(model, images, counters), passed(twin, images, None)
        assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())
    assert int(model[0].num_batches_tracked) == 3


def test_a_network_without_batch_norm_has_nothing_to_count():
    model = nn.Linear(2, 2)
    passed(model, torch.randn(4, 2), BatchCounters(model))


def test_a_pass_that_fails_leaves_the_counters_as_they_were():
    model = nn.Sequential(nn.BatchNorm1d(3))
    with pytest.raises(ValueError, match="more than 1 value"), BatchCounters(model).counted_at_once():
        model(torch.randn(1, 3))
    assert model.state_dict()["0.num_batches_tracked"] == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of its own parts
def test_a_compiled_network_is_compiled_once_and_counted():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    torch.manual_seed(0)
    model = build(network("sknet_small"))
    counters = BatchCounters(model)
    model.compile(backend="aot_eager")
    for _ in range(3):
        state = passed(model, torch.randn(4, 1, 16, 16), counters)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert {int(value) for name, value in state.items() if name.endswith("num_batches_tracked")} == {3}
