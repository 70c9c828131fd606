"""The bottleneck family: ResNeXt, SENet and SKNet are one network with different branches and attention.

Paper, Table 1: stem, stages of 1x1 - SK - 1x1 units, global average pool, linear. Stages are numbered from 2 and
units from 1. So the paper's SK_2_3, the third unit of the first stage, is the submodule `units.SK_2_3`, and its
attention is `units.SK_2_3.sk.attention`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor, nn

from sklab.models.attention.gates import BAM, gate
from sklab.models.attention.pooling import global_average
from sklab.models.blocks import conv_norm, initialise
from sklab.models.sk import ConvNormAct, SKConv2d
from sklab.spec.model import Branch

if TYPE_CHECKING:
    from sklab.models.families.bottleneck import Spec

FIRST_STAGE = 2  # the stem is stage 1

_POINT = Branch(kernel=1, groups=1)


class Unit(nn.Module):
    """1x1 - SK - 1x1 with a residual connection; the stride is in the SK convolution.

    Input [N, in_channels, H, W]; output [N, out_channels, ceil(H / stride), ceil(W / stride)], where
    `channels` (C) are the inner ones. The shortcut is the identity where shapes agree, else 1x1 with BN.
    """

    def __init__(self, in_channels: int, channels: int, out_channels: int, stride: int, spec: Spec) -> None:
        super().__init__()
        self.reduce = ConvNormAct(in_channels, channels, _POINT)
        self.sk = SKConv2d(channels, channels, spec.branches, stride=stride, mixing=spec.mixing(channels))
        self.expand = conv_norm(channels, out_channels)
        # Any gate, not only SE's: the weights of trained networks have this name.
        self.se = gate(spec.attention, out_channels, spec.hidden(out_channels))
        same = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if same else conv_norm(in_channels, out_channels, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.se(self.expand(self.sk(self.reduce(x))))
        total: Tensor = residual + self.shortcut(x)
        return total.relu_()


class BottleneckNet(nn.Module):
    """The network that `spec` describes. Input [N, in_channels, H, W], output logits [N, num_classes].

    Weights start as `blocks.initialise` says.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.stem = _stem(spec)
        self.units = nn.Sequential(OrderedDict(_units(spec)))
        self.head = nn.Linear(spec.stage_out_widths[-1], spec.num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(global_average(self.units(self.stem(x))))
        return logits


def _stem(spec: Spec) -> nn.Sequential:
    kernel, stride = {"imagenet": (7, 2), "small": (3, 2), "cifar": (3, 1)}[spec.stem]
    conv = ConvNormAct(spec.in_channels, spec.stem_width, Branch(kernel=kernel, groups=1), stride)
    if spec.stem == "imagenet":
        conv.append(nn.MaxPool2d(3, stride=2, padding=1))
    return conv


def _units(spec: Spec) -> Iterator[tuple[str, nn.Module]]:
    """Every unit with its name, in order, and `bam` after each stage but the last. The first unit of each stage after
    the first halves the image."""
    in_channels = spec.stem_width
    for stage, depth in enumerate(spec.depths):
        channels, out_channels = spec.stage_widths[stage], spec.stage_out_widths[stage]
        for number in range(1, depth + 1):
            stride = 2 if number == 1 and stage > 0 else 1
            yield f"SK_{FIRST_STAGE + stage}_{number}", Unit(in_channels, channels, out_channels, stride, spec)
            in_channels = out_channels
        if spec.attention == "bam" and stage + 1 < len(spec.depths):
            yield f"BAM_{FIRST_STAGE + stage}", BAM(in_channels, spec.hidden(in_channels))
