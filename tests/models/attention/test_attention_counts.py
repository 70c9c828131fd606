"""The kinds of attention by their parameters, against the published counts."""

from __future__ import annotations

import pytest
import torch

from sklab.models.attention.gates import eca_kernel
from sklab.models.zoo import build, cost
from sklab.spec.networks import network

SK50 = 26_458_664  # SKNet-50 with the plain sum of its two branches


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("none", 25_028_904),
        ("mean", 25_028_904),
        ("static", 25_028_904 + 7_552),  # one logit a channel
        ("se", 27_559_896),
        ("eca", 25_028_990),
        ("bam", 25_386_971),
        ("cbam", 27_561_496),
        ("lsk", 25_028_904 + 16 * (2 * 49 + 1)),
    ],
)
def test_parameters_on_resnext50(kind: str, params: int) -> None:
    assert cost(network("resnext50", attention=kind), 224).params == params


@pytest.mark.parametrize(
    ("kind", "added"),
    [
        ("mean", 0),
        ("static", 15_104),
        ("lsk", 16 * (2 * 2 * 49 + 2)),
        ("sk", 1_021_120),
        ("splat", 1_021_120 + 13 * 32 + 3 * 64 + 15_104),  # d and M C biases
    ],
)
def test_parameters_added_to_the_plain_sum_of_two_branches(kind: str, added: int) -> None:
    assert cost(network("sknet50", attention=kind), 224).params - SK50 == added


@pytest.mark.parametrize(("kind", "millions"), [("se", 27.7), ("bam", 25.4), ("cbam", 27.7)])
def test_table_2_of_the_paper(kind: str, millions: float) -> None:
    assert cost(network("resnext50", attention=kind), 224).params / 1e6 == pytest.approx(millions, rel=0.006)


def test_kernels_of_eca() -> None:
    assert {c: eca_kernel(c) for c in (2, 16, 64, 128, 256, 512, 1024, 2048)} == {
        2: 3, 16: 3, 64: 3, 128: 5, 256: 5, 512: 5, 1024: 5, 2048: 7,
    }  # fmt: skip


def test_the_convolution_across_channels_is_counted() -> None:
    plain, eca = (cost(network("resnext50", attention=kind), 224) for kind in ("none", "eca"))
    kernels = {256: (3, 5), 512: (4, 5), 1024: (6, 5), 2048: (3, 7)}  # units, kernel
    assert eca.macs - plain.macs == sum(c * units * kernel for c, (units, kernel) in kernels.items())


@pytest.mark.parametrize("name", ["shufflenetv2_x0_5", "mobilenetv1", "mobilenetv2"])
def test_a_light_network_gets_what_its_depthwise_convolutions_ask_for(name: str) -> None:
    """A logit for each branch and channel of `static`; 7x7 weights for both maps and a bias of `lsk`."""
    with torch.device("meta"):
        depthwise = [part for part in build(network(name)).modules() if getattr(part, "groups", 1) > 1]
    base = network(f"{name}_sk", attention="none")
    plain = cost(base, 64)
    channels = sum(conv.in_channels for conv in depthwise)
    assert cost(network(f"{name}_sk", attention="mean"), 64) == plain
    assert cost(network(f"{name}_sk", attention="static"), 64).params - plain.params == 2 * channels
    assert cost(network(f"{name}_sk", attention="lsk"), 64).params - plain.params == len(depthwise) * (2 * 2 * 49 + 2)
