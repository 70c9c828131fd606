"""Receptive fields against networks whose fields are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sklab.models.receptive import effective, theoretical
from sklab.models.zoo import create_model
from sklab.training.attention.summary import receptive_field


def conv(kernel: int, stride: int = 1, dilation: int = 1, value: float = 1.0) -> nn.Conv2d:
    made = nn.Conv2d(1, 1, kernel, stride, dilation * (kernel - 1) // 2, dilation, bias=False)
    nn.init.constant_(made.weight, value)
    return made


def extent(gradient: Tensor) -> tuple[int, int]:
    rows, columns = (np.flatnonzero(gradient.numpy().any(axis=axis)) for axis in (1, 0))
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (5, 1), (3, 2), (3, 3), (7, 1)])
def test_a_single_convolution_sees_its_kernel(kernel, dilation):
    network = nn.Sequential(conv(kernel, dilation=dilation))
    images = torch.rand(3, 1, 21, 21)
    gradient = effective(network, images, {"one": "0"})["one"]
    side = dilation * (kernel - 1) + 1
    field = receptive_field("one", theoretical(network, images, {"one": "0"})["one"], gradient.double().numpy())
    assert (field.theoretical, field.height, field.width) == (side, side, side)
    assert field.area == kernel**2
    expected = dilation * np.sqrt((kernel**2 - 1) / 12)  # of a uniform distribution over the taps
    assert (field.major, field.minor) == pytest.approx((expected, expected), rel=1e-5)
    assert np.array(field.map) == pytest.approx(gradient.numpy() / 3)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1, 3, 5]), st.sampled_from([1, 2]), st.sampled_from([1, 2])), max_size=4))
def test_a_stack_sees_what_theory_says_and_never_more(layers):
    network = nn.Sequential(nn.Identity(), *(conv(*layer) for layer in layers), nn.Identity())
    stages = {"end": str(len(layers) + 1)}
    images = torch.rand(1, 1, 192, 192)
    size, jump = 1, 1
    for kernel, stride, dilation in layers:
        size, jump = size + dilation * (kernel - 1) * jump, jump * stride
    assert theoretical(network, images.to("meta"), stages) == {"end": size}
    gradient = effective(network, images, stages)["end"]
    assert extent(gradient) == (size, size)
    field = receptive_field("end", size, gradient.double().numpy())
    assert 1 <= field.height <= size
    assert field.area <= size**2


def test_an_oblong_field_is_told_from_a_round_one():
    share = np.zeros((9, 9))
    share[4, 1:8] = 1
    field = receptive_field("one", 9, share)
    assert (field.area, field.height, field.width, field.minor) == (7, 1, 7, 0)
    assert field.major == pytest.approx(2)
    assert receptive_field("none", 9, np.zeros((9, 9))).area == 0
    assert np.array(receptive_field("big", 9, np.ones((224, 224))).map).shape == (32, 32)


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("sknet_small", {"SK_2_1": 11, "SK_3_1": 19, "SK_4_1": 35}),  # by hand: 3, then 4 * jump per unit
        ("resnext_small", {"SK_2_1": 7, "SK_3_1": 11, "SK_4_1": 19}),
    ],
)
def test_the_theoretical_field_follows_the_largest_branch_and_not_the_attention(name, sides):
    with torch.device("meta"):
        network, image = create_model(name).eval(), torch.empty(1, 1, 32, 32)
    assert theoretical(network, image, {stage: f"units.{stage}" for stage in sides}) == sides


def test_pooling_counts_and_side_paths_take_the_larger_window():
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool, self.wide, self.narrow = nn.MaxPool2d(3, 2, 1), conv(5), conv(1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.pool(x)
            return torch.cat([self.narrow(x), self.wide(x).relu_()], dim=1)

    assert theoretical(nn.Sequential(Both()), torch.empty(1, 1, 16, 16), {"end": "0"}) == {"end": 3 + 2 * 4}
