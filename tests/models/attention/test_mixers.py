"""How branches are weighed, against the equations of the papers written out in NumPy."""

from __future__ import annotations

from itertools import product
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from sklab.models.attention.mixers import mixer
from sklab.models.sk import SKConv2d
from sklab.spec.model import Branch, Mixer, Mixing

Floats = NDArray[np.float64]
BRANCHES = [Branch(kernel=3, groups=2), Branch(kernel=3, dilation=2, groups=2), Branch(kernel=5, groups=1)]
KINDS = [kind for kind in get_args(Mixer) if kind != "none"]


def randomised(module: nn.Module) -> nn.Module:
    """Every parameter and statistic away from where it starts."""
    random = torch.Generator().manual_seed(5)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            drawn = torch.randn(tensor.shape, generator=random, dtype=tensor.dtype)
            tensor.copy_(drawn.abs() + 0.5 if "running_var" in name else drawn)
    return module


def features(m: int, seed: int = 0) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(3, 4, 5, 6, generator=random, dtype=torch.float64) for _ in range(m)]


def made(kind: Any, m: int, **choices: Any) -> nn.Module:
    module = mixer(Mixing(kind=kind, squeezed=3, **choices), 4, m)
    assert module is not None
    return randomised(module.double()).eval()


def state(module: nn.Module) -> dict[str, Floats]:
    return {name: tensor.numpy() for name, tensor in module.state_dict().items()}


def softmax(logits: Floats, axis: int) -> Floats:
    powers = np.exp(logits)
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True))


def fused(of: dict[str, Floats], total: Floats, pool: str) -> Floats:
    """The logits [N, M, C] of a descriptor of the sum of the branches."""
    average, maximum = total.mean((2, 3)), total.max((2, 3))
    pooled = {"average": average, "max": maximum, "both": average + maximum}[pool]
    hidden = pooled @ of["squeeze.0.weight"].T + of.get("squeeze.0.bias", 0)
    normed = (hidden - of["squeeze.1.running_mean"]) / np.sqrt(of["squeeze.1.running_var"] + 1e-5)
    active = np.maximum(normed * of["squeeze.1.weight"] + of["squeeze.1.bias"], 0)
    logits = active @ of["expand.weight"].T + of.get("expand.bias", 0)
    return np.asarray(logits.reshape(len(total), -1, total.shape[1]))


@pytest.mark.parametrize("m", [1, 2, 3])
@pytest.mark.parametrize("kind", ["sk", "splat"])
@pytest.mark.parametrize("pool", ["average", "max", "both"])
@pytest.mark.parametrize("act", ["softmax", "sigmoid"])
def test_fuse_and_select(kind: str, m: int, pool: str, act: str) -> None:
    module, given = made(kind, m, fuse_pool=pool, select_act=act), features(m)
    logits = fused(state(module), np.sum([feature.numpy() for feature in given], axis=0), pool)
    weights = softmax(logits, 1) if act == "softmax" else 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(module(given).detach().numpy(), weights, rtol=1e-10, atol=1e-12)
    assert ("expand.bias" in state(module)) == (kind == "splat")


@pytest.mark.parametrize("m", [2, 3])
def test_the_mean_and_what_does_not_see_the_input(m: int) -> None:
    mean, static = made("mean", m), made("static", m)
    np.testing.assert_array_equal(mean(features(m)).numpy(), np.full((1, m, 1), 1 / m))
    weights = static(features(m)).detach()
    np.testing.assert_allclose(weights[0].numpy(), softmax(state(static)["logits"], 0), rtol=1e-12)
    assert torch.equal(static(features(m, seed=9)), weights)
    fresh = mixer(Mixing(kind="static"), 4, m)
    assert fresh is not None
    torch.testing.assert_close(fresh(features(m)), torch.full((1, m, 4), 1 / m))


@pytest.mark.parametrize("m", [1, 2, 3])
def test_spatial_selection(m: int) -> None:
    """The average and the maximum over the channels of all branches side by side, a 7x7 window of both, a sigmoid."""
    module, given = made("lsk", m), features(m)
    stacked = np.concatenate([feature.numpy() for feature in given], axis=1)
    maps = np.pad(np.stack([stacked.mean(1), stacked.max(1)], axis=1), ((0, 0), (0, 0), (3, 3), (3, 3)))
    weight, bias = state(module)["conv.weight"], state(module)["conv.bias"]
    logits = np.empty((3, m, 5, 6))
    for branch, row, column in product(range(m), range(5), range(6)):
        window = maps[:, :, row : row + 7, column : column + 7]
        logits[:, branch, row, column] = (window * weight[branch]).sum((1, 2, 3)) + bias[branch]
    np.testing.assert_allclose(module(given).detach().numpy()[:, :, 0], 1 / (1 + np.exp(-logits)), rtol=1e-10)


def convolution(m: int, mixing: Mixing) -> SKConv2d:
    torch.manual_seed(2)
    convolution = SKConv2d(4, 4, BRANCHES[:m], mixing=mixing).double()
    randomised(convolution)
    return convolution


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(get_args(Mixer)),
    m=st.integers(1, 3),
    pool=st.sampled_from(["average", "max", "both"]),
    act=st.sampled_from(["softmax", "sigmoid"]),
    training=st.booleans(),
)
def test_the_weights_are_applied_to_the_branches(kind: Any, m: int, pool: Any, act: Any, training: bool) -> None:
    sk = convolution(m, Mixing(kind=kind, squeezed=3, fuse_pool=pool, select_act=act)).train(training)
    x = torch.randn(3, 4, 6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    given = [branch(x) for branch in sk.branches]
    if sk.attention is None:
        expected = torch.stack(given).sum(0)
    else:
        weights = sk.attention(given)
        weights = weights if weights.ndim == 5 else weights[..., None, None]
        expected = (torch.stack(given, 1) * weights).sum(1)
    torch.testing.assert_close(sk(x), expected)


def test_a_mean_of_one_branch_is_the_plain_sum() -> None:
    assert mixer(Mixing(kind="mean"), 4, 1) is None
    assert mixer(Mixing(kind="none"), 4, 2) is None


@pytest.mark.parametrize("kind", ["mean", "static", "sk", "splat"])
def test_branches_that_agree_give_what_one_of_them_gives(kind: Any) -> None:
    """Weights that sum to one change nothing then. A plain sum would be twice that."""
    sk = SKConv2d(4, 4, [BRANCHES[0]] * 2, mixing=Mixing(kind=kind, squeezed=3))
    randomised(sk)
    sk.branches[1].load_state_dict(sk.branches[0].state_dict())
    x = torch.randn(3, 4, 6, 6)
    torch.testing.assert_close(sk.eval()(x), sk.branches[0](x))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("pool", "act"), [("average", "softmax"), ("max", "sigmoid"), ("both", "softmax")])
def test_gradients_of_the_weights(kind: str, pool: str, act: str) -> None:
    module, given = made(kind, 2, fuse_pool=pool, select_act=act).train(), features(2)
    names = [name for name, _ in module.named_parameters()]

    def function(*values: Tensor) -> Tensor:
        own = dict(zip(names, values[2:], strict=True))
        weights: Tensor = torch.func.functional_call(module, own, (list(values[:2]),))
        return weights

    inputs = [*(feature[..., :3, :2].clone().requires_grad_() for feature in given), *module.parameters()]
    if kind == "mean":
        assert not module(given).requires_grad
    else:
        assert torch.autograd.gradcheck(function, inputs)
