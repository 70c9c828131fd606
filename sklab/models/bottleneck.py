"""The bottleneck family: ResNeXt, SENet and SKNet are one network with different branches and attention.

Paper, Table 1: stem, stages of 1x1 - SK - 1x1 units, global average pool, linear. The stages are numbered from 2, the
units from 1, so that the paper's SK_2_3, the third unit of the first stage, is the submodule `units.SK_2_3`, and its
attention `units.SK_2_3.sk.attention`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from torch import Tensor, nn

from sklab.models.sk import ConvNormAct, SKConv2d, global_average
from sklab.spec.model import Branch, ModelSpec

FIRST_STAGE = 2  # the stem is stage 1

_POINT = Branch(kernel=1, groups=1)


class SqueezeExcite(nn.Module):
    """Channel gates from the pooled input (Hu et al., CVPR 2018): fc C -> hidden, ReLU, fc -> C, sigmoid, with biases.

    Input and output [N, C, H, W].
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        gates: Tensor = self.gate(global_average(x))
        return x * gates[..., None, None]


class Unit(nn.Module):
    """1x1 - SK - 1x1 with a residual connection; the stride is in the SK convolution.

    Input [N, in_channels, H, W]; output [N, out_channels, ceil(H / stride), ceil(W / stride)], where
    `channels` (C) are the inner ones. The shortcut is the identity where shapes agree, else 1x1 with BN.
    """

    def __init__(self, in_channels: int, channels: int, out_channels: int, stride: int, spec: ModelSpec) -> None:
        super().__init__()
        self.reduce = ConvNormAct(in_channels, channels, _POINT)
        self.sk = SKConv2d(
            channels,
            channels,
            spec.branches,
            stride=stride,
            attention=spec.attention == "sk",
            squeezed=spec.squeezed(channels),
        )
        self.expand = _conv_norm(channels, out_channels)
        squeezes = spec.attention == "se"
        self.se = SqueezeExcite(out_channels, out_channels // spec.reduction) if squeezes else nn.Identity()
        same = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if same else _conv_norm(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.se(self.expand(self.sk(self.reduce(x))))
        total: Tensor = residual + self.shortcut(x)
        return total.relu_()


class BottleneckNet(nn.Module):
    """The network that `spec` describes. Input [N, in_channels, H, W], output logits [N, num_classes].

    Weights start as usual for residual networks, drawn from torch's global generator: convolutions by He et
    al.'s normal rule over fan-out, BN with scale 1 and shift 0, linear layers as torch.nn.Linear does (uniform within
    1 / sqrt(fan-in)).
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.stem = _stem(spec)
        self.units = nn.Sequential(OrderedDict(_units(spec)))
        self.head = nn.Linear(spec.stage_out_widths[-1], spec.num_classes)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(global_average(self.units(self.stem(x))))
        return logits


def _stem(spec: ModelSpec) -> nn.Sequential:
    kernel = {"imagenet": 7, "small": 3}[spec.stem]
    conv = ConvNormAct(spec.in_channels, spec.stem_width, Branch(kernel=kernel, groups=1), stride=2)
    if spec.stem == "imagenet":
        conv.append(nn.MaxPool2d(3, stride=2, padding=1))
    return conv


def _units(spec: ModelSpec) -> Iterator[tuple[str, Unit]]:
    """Every unit with its name, in order. The first of every stage but the first one halves the image."""
    entering = spec.stem_width
    for stage, depth in enumerate(spec.depths):
        channels, out_channels = spec.stage_widths[stage], spec.stage_out_widths[stage]
        for number in range(1, depth + 1):
            stride = 2 if number == 1 and stage > 0 else 1
            yield f"SK_{FIRST_STAGE + stage}_{number}", Unit(entering, channels, out_channels, stride, spec)
            entering = out_channels


def _conv_norm(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


def _initialise(module: nn.Module) -> None:
    # BatchNorm and Linear already are as the docstring says when constructed.
    # On the meta device there is nothing to fill, and pretending to takes most of the time to build a network.
    if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
