"""A decimated convolution is the strided dilated one, output and gradients; on CUDA in name only."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from sklab.models.sk import DecimatedConv2d, conv_class
from sklab.models.zoo import convolutions
from sklab.spec.networks import network

_SIZES = st.integers(min_value=5, max_value=13)


@given(
    stride=st.integers(2, 3),
    multiple=st.integers(1, 2),
    kernel=st.sampled_from([1, 3, 5]),
    groups=st.sampled_from([1, 2, 6]),
    height=_SIZES,
    width=_SIZES,
)
def test_outputs_and_gradients_are_those_of_the_strided_dilated_convolution(
    stride: int, multiple: int, kernel: int, groups: int, height: int, width: int
) -> None:
    dilation = stride * multiple
    padding = dilation * (kernel - 1) // 2
    torch.manual_seed(0)
    conv = DecimatedConv2d(6, 12, kernel, stride, padding, dilation, groups).double()
    image = torch.randn(2, 6, height, width, dtype=torch.float64, requires_grad=True)
    right = F.conv2d(image, conv.weight, conv.bias, stride, padding, dilation, groups)
    found = conv(image)
    torch.testing.assert_close(found, right)
    slope, inputs = torch.randn_like(right), (image, conv.weight)
    theirs, ours = torch.autograd.grad(right, inputs, slope), torch.autograd.grad(found, inputs, slope)
    for got, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize(
    ("stride", "dilation", "kind"),
    [(1, 2, nn.Conv2d), (2, 1, nn.Conv2d), (2, 2, DecimatedConv2d), (2, 3, nn.Conv2d), (3, 6, DecimatedConv2d)],
)
def test_only_a_stride_that_divides_the_dilation_leaves_pixels_out(
    stride: int, dilation: int, kind: type[nn.Conv2d]
) -> None:
    assert conv_class(stride, dilation) is kind


@pytest.mark.parametrize(("device", "stride", "pixels"), [("cpu", (1, 1), 4), ("cuda", (2, 2), 8)])
def test_on_cuda_it_is_the_strided_convolution(monkeypatch, device, stride, pixels):
    calls = []
    monkeypatch.setattr(F, "conv2d", lambda *args: calls.append(args))
    with FakeTensorMode():  # a tensor without numbers may lie on a device that is not there
        DecimatedConv2d(4, 4, 3, 2, 2, 2, device="meta")(torch.empty(1, 4, 8, 8, device=device))
    ((image, _, _, found, *_),) = calls
    assert (found, image.shape[-1]) == (stride, pixels)


def test_the_convolutions_of_a_network_are_those_of_the_device():
    spec = network("sknet_small", branches=[{"kernel": 3}, {"kernel": 3, "dilation": 2}])
    cpu, cuda = (convolutions(spec, 32, device) for device in ("cpu", "cuda"))
    assert [each for each in cpu if each.stride == (2, 2) and each.dilation == (2, 2)] == []
    strided = [each for each in cuda if each.stride == (2, 2) and each.dilation == (2, 2)]
    assert {each.height for each in strided} == {2 * each.height for each in set(cpu) - set(cuda)} == {8, 16}
