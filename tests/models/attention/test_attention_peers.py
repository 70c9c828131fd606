"""Gates and split attention against the modules of the real timm, with the same weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from peers import peers
from torch import Tensor, nn

from sklab.models.attention.gates import gate
from sklab.models.attention.mixers import SKAttention
from sklab.models.sk import _select
from sklab.models.zoo import cost
from sklab.spec.model import Mixing, family_spec
from sklab.spec.networks import network

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("_peers")]
CHANNELS = 64
SK = [{"kernel": 3}, {"kernel": 3, "dilation": 2}]


@pytest.fixture(scope="module", autouse=True)
def _peers() -> Iterator[None]:
    with peers():
        yield


def away_from_the_start(module: nn.Module) -> nn.Module:
    torch.manual_seed(3)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            drawn = torch.randn_like(tensor) / max(tensor[0].numel(), 1) ** 0.5
            tensor.copy_(drawn.abs() + 0.5 if "running_var" in name else drawn)
    return module


def copied(ours: nn.Module, theirs: nn.Module) -> None:
    """The tensors of `theirs`, one after another; a linear layer there is a 1x1 convolution."""
    own, given = ours.state_dict(), [*theirs.state_dict().values()]
    assert [tensor.numel() for tensor in own.values()] == [tensor.numel() for tensor in given]
    values = {name: value.view(own[name].shape) for name, value in zip(own, given, strict=True)}
    ours.load_state_dict(values)


def theirs_of(kind: str) -> Any:
    from timm.layers import EcaModule, SEModule
    from timm.layers.cbam import CbamModule

    makers = {
        "se": lambda: SEModule(CHANNELS, rd_channels=4),
        "eca": lambda: EcaModule(CHANNELS),
        "cbam": lambda: CbamModule(CHANNELS, rd_channels=4, mlp_bias=True),
    }
    return makers[kind]()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", ["se", "eca", "cbam"])
def test_gates_are_timms(kind: str, training: bool) -> None:
    theirs = away_from_the_start(theirs_of(kind)).train(training)
    ours = gate(kind, CHANNELS, 4).train(training)
    copied(ours, theirs)
    x = torch.randn(3, CHANNELS, 9, 7)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("m", [2, 3])
def test_split_attention_is_timms(m: int, training: bool) -> None:
    """Of its attention only: its branches are one grouped convolution, each of a part of the input."""
    from timm.layers import SplitAttn

    channels = 12 * m
    theirs: Any = SplitAttn(channels, radix=m, groups=1, rd_channels=5, norm_layer=nn.BatchNorm2d)
    theirs.conv = theirs.bn0 = theirs.act0 = nn.Identity()
    away_from_the_start(theirs).train(training)
    ours = SKAttention(channels, m, Mixing(kind="splat", squeezed=5 * m)).train(training)
    copied(ours, theirs)
    features: list[Tensor] = [torch.randn(4, channels, 5, 6) for _ in range(m)]
    mixed = _select(features, ours(features)[..., None, None])
    torch.testing.assert_close(mixed, theirs(torch.cat(features, dim=1)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [16, 64, 128, 256, 512, 1024, 2048])
def test_the_kernels_of_eca_are_timms(channels: int) -> None:
    from timm.layers import EcaModule

    ours: Any = gate("eca", channels, 0)
    assert ours.conv.kernel_size == EcaModule(channels).conv.kernel_size


def test_converted_timm_networks_count_what_each_kind_adds() -> None:
    def params(**sk: Any) -> int:
        settings = {"library": "timm", "name": "resnext50_32x4d", "sk": {"select": "grouped3x3", "branches": SK, **sk}}
        return cost(family_spec("foreign").model_validate(settings), 64).params

    for kind in ("none", "mean", "static", "sk", "splat", "lsk"):
        assert params(attention=kind) == cost(network("sknet50", attention=kind), 64).params
