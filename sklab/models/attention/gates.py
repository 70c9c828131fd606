"""Attention on the output of a unit or stage. Input and output [N, C, H, W]: N images, C channels, H x W pixels."""

from __future__ import annotations

import math

from torch import Tensor, nn

from sklab.models.attention.pooling import channel_maps, global_average

_DILATION = 4  # of BAM's spatial branch (Park et al., BMVC 2018, section 3)


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


class EfficientChannel(nn.Module):
    """Channel gates from a convolution across the pooled channels (Wang et al., ECA-Net, CVPR 2020, section 3.2).

    The kernel grows with C: the odd number next to (log2 C + 1) / 2, at least 3. It has no bias.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        kernel = eca_kernel(channels)
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gates: Tensor = self.conv(global_average(x)[:, None])[:, 0].sigmoid()
        return x * gates[..., None, None]


def eca_kernel(channels: int) -> int:
    """The kernel of `EfficientChannel`: (log2 C + 1) / 2, rounded down, and one more where that is even; at least 3."""
    rounded = int((math.log2(channels) + 1) / 2)
    return max(rounded + 1 - rounded % 2, 3)


class CBAM(nn.Module):
    """Channel gates, then spatial gates (Woo et al., CBAM, ECCV 2018, section 3).

    Channels: one MLP (fc C -> hidden, ReLU, fc -> C, with biases) of the average and of the maximum over the pixels,
    summed, sigmoid. Pixels: average and maximum over the channels, 7x7 convolution without bias, BN, sigmoid.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.channel = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, channels))
        self.spatial = nn.Sequential(nn.Conv2d(2, 1, 7, padding=3, bias=False), nn.BatchNorm2d(1))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.channel(global_average(x)) + self.channel(x.amax((2, 3)))
        x = x * logits.sigmoid()[..., None, None]
        pixels: Tensor = self.spatial(channel_maps(x))
        return x * pixels.sigmoid()


class BAM(nn.Module):
    """x + x * sigmoid(channels + pixels), after a stage (Park et al., BAM, BMVC 2018, equations 1 and 2).

    Channels: fc C -> hidden, BN, ReLU, fc -> C of the average over the pixels. Pixels: 1x1 convolution to `hidden`
    channels, two 3x3 with D = 4, each with BN and ReLU, and 1x1 to one channel. All have biases. The places of the BNs
    are those of the authors' program, by which the published parameters count; there the two are multiplied, here they
    are added, as in the paper.

    In training mode the BN of the channels needs a batch of at least two (ValueError).
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.channel = nn.Sequential(
            nn.Linear(channels, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, channels)
        )
        self.spatial = nn.Sequential(
            *_biased(channels, hidden, 1), *_biased(hidden, hidden, 3), *_biased(hidden, hidden, 3)
        ).append(nn.Conv2d(hidden, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.channel(global_average(x))[..., None, None] + self.spatial(x)
        return x + x * logits.sigmoid()


def _biased(in_channels: int, out_channels: int, kernel: int) -> tuple[nn.Module, ...]:
    dilation = _DILATION if kernel > 1 else 1
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=dilation * (kernel // 2), dilation=dilation)
    return conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)


def gate(kind: str, channels: int, hidden: int) -> nn.Module:
    """The gate on a unit's output of `channels`: `se`, `eca` or `cbam`; the identity for any other kind."""
    if kind == "se":
        return SqueezeExcite(channels, hidden)
    if kind == "cbam":
        return CBAM(channels, hidden)
    return EfficientChannel(channels) if kind == "eca" else nn.Identity()
