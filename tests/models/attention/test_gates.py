"""Attention on a unit's output, against the equations of the papers written out in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sklab.models.attention.gates import BAM, gate

Floats = NDArray[np.float64]
State = Mapping[str, Floats]
CHANNELS, HIDDEN = 8, 3
MADE: dict[str, Callable[[], nn.Module]] = {
    "se": lambda: gate("se", CHANNELS, HIDDEN),
    "eca": lambda: gate("eca", CHANNELS, HIDDEN),
    "cbam": lambda: gate("cbam", CHANNELS, HIDDEN),
    "bam": lambda: BAM(CHANNELS, HIDDEN),
}


def randomised(module: nn.Module) -> nn.Module:
    random = torch.Generator().manual_seed(5)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            drawn = torch.randn(tensor.shape, generator=random, dtype=tensor.dtype) / max(tensor[0].numel(), 1) ** 0.5
            tensor.copy_(drawn.abs() + 0.5 if "running_var" in name else drawn)
    return module


def sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x)))


def convolved(x: Floats, of: State, name: str, dilation: int = 1) -> Floats:
    """A convolution that keeps the size."""
    weight = of[f"{name}.weight"]
    kernel, (n, _, height, width) = weight.shape[-1], x.shape
    pad = dilation * (kernel // 2)
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    total = np.zeros((n, len(weight), height, width))
    for i, j in product(range(kernel), range(kernel)):
        rows, columns = slice(i * dilation, i * dilation + height), slice(j * dilation, j * dilation + width)
        total += np.einsum("nchw,oc->nohw", x[:, :, rows, columns], weight[:, :, i, j])
    return total + of.get(f"{name}.bias", np.zeros(len(weight)))[:, None, None]


def normed(x: Floats, of: State, name: str) -> Floats:
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, var, weight, bias = (
        of[f"{name}.{part}"].reshape(shape) for part in ("running_mean", "running_var", "weight", "bias")
    )
    return np.asarray((x - mean) / np.sqrt(var + 1e-5) * weight + bias)


def fc(x: Floats, of: State, name: str) -> Floats:
    return np.asarray(x @ of[f"{name}.weight"].T + of[f"{name}.bias"])


def relu(x: Floats) -> Floats:
    return np.maximum(x, 0)


def np_se(x: Floats, of: State) -> Floats:
    gates = sigmoid(fc(relu(fc(x.mean((2, 3)), of, "gate.0")), of, "gate.2"))
    return np.asarray(x * gates[..., None, None])


def np_eca(x: Floats, of: State) -> Floats:
    weight = of["conv.weight"][0, 0]
    pooled = np.pad(x.mean((2, 3)), ((0, 0), (1, 1)))
    gates = sigmoid(sum(weight[k] * pooled[:, k : k + CHANNELS] for k in range(3)))
    return np.asarray(x * gates[..., None, None])


def np_cbam(x: Floats, of: State) -> Floats:
    average, maximum = (
        fc(relu(fc(pooled, of, "channel.0")), of, "channel.2") for pooled in (x.mean((2, 3)), x.max((2, 3)))
    )
    x = x * sigmoid(average + maximum)[..., None, None]
    maps = np.stack([x.mean(1), x.max(1)], axis=1)
    return np.asarray(x * sigmoid(normed(convolved(maps, of, "spatial.0"), of, "spatial.1")))


def np_bam(x: Floats, of: State) -> Floats:
    """F + F * sigmoid(channels + pixels): equations 1 and 2 of BAM."""
    channels = fc(relu(normed(fc(x.mean((2, 3)), of, "channel.0"), of, "channel.1")), of, "channel.3")
    pixels = x
    for layer, dilation in ((0, 1), (3, 4), (6, 4)):
        pixels = relu(normed(convolved(pixels, of, f"spatial.{layer}", dilation), of, f"spatial.{layer + 1}"))
    pixels = convolved(pixels, of, "spatial.9")
    return np.asarray(x + x * sigmoid(channels[..., None, None] + pixels))


EQUATIONS = {"se": np_se, "eca": np_eca, "cbam": np_cbam, "bam": np_bam}


@pytest.mark.parametrize("kind", MADE)
def test_it_is_the_equations_of_its_paper(kind: str) -> None:
    module = randomised(MADE[kind]().double()).eval()
    x = torch.randn(3, CHANNELS, 9, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = EQUATIONS[kind](x.numpy(), {name: tensor.numpy() for name, tensor in module.state_dict().items()})
    np.testing.assert_allclose(module(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", MADE)
def test_gradients_are_those_of_the_function(kind: str) -> None:
    torch.manual_seed(1)
    module = randomised((BAM(2, 2) if kind == "bam" else gate(kind, 2, 2)).double()).train()
    names = [name for name, _ in module.named_parameters()]

    def function(x: Tensor, *values: Tensor) -> Any:
        return torch.func.functional_call(module, dict(zip(names, values, strict=True)), (x,))

    x = torch.randn(3, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, (x, *module.parameters()))


@pytest.mark.parametrize("kind", MADE)
def test_the_shape_and_the_layout_stay(kind: str) -> None:
    module, x = MADE[kind](), torch.randn(2, CHANNELS, 4, 6).contiguous(memory_format=torch.channels_last)
    assert module(x).shape == x.shape
    assert module(x).is_contiguous(memory_format=torch.channels_last)


def test_what_mixes_branches_gates_nothing() -> None:
    assert all(
        isinstance(gate(kind, 8, 2), nn.Identity) for kind in ("none", "mean", "static", "sk", "splat", "lsk", "bam")
    )
