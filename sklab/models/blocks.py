"""Building blocks that several families of networks share. Shapes: N images, C channels, H x W pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sklab.models.attention.pooling import global_average
from sklab.models.sk import SKConv2d
from sklab.spec.model import Branch, LightSpec


class GlobalAverage(nn.Module):
    """[N, C, H, W] -> [N, C]."""

    def forward(self, x: Tensor) -> Tensor:
        return global_average(x)


class Residual(nn.Module):
    """x + body(x); `body` keeps the shape."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = x + self.body(x)
        return total


class Shuffled(nn.Module):
    """Two parallel paths and a channel shuffle in 2 groups (Ma et al., ECCV 2018, figure 3).

    Without a `left` path the left half of the channels passes unchanged and the right half goes through `right`;
    with one, each path sees all channels. `gate` acts on the concatenated channels.
    """

    def __init__(self, left: nn.Module | None, right: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.left, self.right, self.gate = left, right, gate

    def forward(self, x: Tensor) -> Tensor:
        right_input, left_output = (x, self.left(x)) if self.left is not None else x.chunk(2, dim=1)[::-1]
        joined: Tensor = self.gate(torch.cat([left_output, self.right(right_input)], dim=1))
        images, channels, *pixels = joined.shape
        return joined.view(images, 2, channels // 2, *pixels).transpose(1, 2).reshape(joined.shape)


def conv_norm(
    in_channels: int, out_channels: int, kernel: int = 1, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution without bias, batch normalisation; the size is kept at stride 1."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


def depthwise(spec: LightSpec, channels: int, stride: int) -> SKConv2d:
    """The SK convolution of `spec` with as many groups as channels; a ReLU ends each branch."""
    branches = [Branch(kernel=window.kernel, dilation=window.dilation, groups=channels) for window in spec.branches]
    return SKConv2d(channels, channels, branches, stride=stride, mixing=spec.mixing(channels))


def initialise(network: nn.Module) -> None:
    """Draw the usual weights of residual networks from torch's global generator.

    Convolutions by He et al.'s normal rule over fan-out; BN with scale 1 and shift 0 and linear layers
    uniform within 1 / sqrt(fan-in), as torch makes them.
    """
    for module in network.modules():
        # On the meta device there is nothing to fill, and the call would take most of the time to build a network.
        if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
