"""MobileNetV2 (Sandler et al., CVPR 2018, Table 2), plain, with SE and with SK."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sklab.spec import limits
from sklab.spec.model import KINDS, LightSpec, read_sides, scaled

if TYPE_CHECKING:
    from torch import nn

STEM, LAST = 32, 1280
# Per stage: expansion t, output channels c, number of units n, and stride s of the first unit.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class Spec(LightSpec):
    """3x3/2 convolution, then inverted residuals: 1x1 to t times the channels, depthwise, 1x1 without ReLU.

    width  multiplier of all channels but the last 1,280; rounded to multiples of 8

    The activation is ReLU6. Only the branches of an SK convolution, or of a sum of several convolutions, that replaces
    a depthwise convolution end in a ReLU.
    """

    family: Literal["mobilenetv2"] = "mobilenetv2"
    width: float = Field(default=1.0, gt=0, le=limits.MULTIPLIER)

    def sides(self, image_size: int) -> tuple[int, ...]:
        """Sides of the maps after the stem, which halves the image."""
        strides = (1 if unit else first for _, _, units, first in STAGES for unit in range(units))
        return read_sides(-(-image_size // 2), strides)

    def built(self) -> dict[str, Any]:
        """With the channels of the stem and of every unit in place of their multiplier."""
        units = [(expansion, unscaled) for expansion, unscaled, number, _ in STAGES for _ in range(number)]
        channels = [scaled(unscaled, self.width) for unscaled in (STEM, *(width for _, width in units))]
        inner = [expansion * width for (expansion, _), width in zip(units, channels[:-1], strict=True)]
        return {**self.built_with(inner, channels[1:]), "width": channels}


SETTINGS: dict[str, dict[str, Any]] = {f"mobilenetv2{kind}": how for kind, how in KINDS.items()}


def build(spec: Spec) -> nn.Module:
    """The network with fresh weights from torch's global generator."""
    from torch import nn

    from sklab.models.blocks import GlobalAverage, conv_norm, initialise

    stem = conv_norm(spec.in_channels, scaled(STEM, spec.width), 3, stride=2)
    last = conv_norm(scaled(STAGES[-1][1], spec.width), LAST)
    network = nn.Sequential(
        OrderedDict(
            stem=stem.append(nn.ReLU6(inplace=True)),
            units=nn.Sequential(OrderedDict(_units(spec))),
            last=last.append(nn.ReLU6(inplace=True)),
            pool=GlobalAverage(),
            head=nn.Linear(LAST, spec.num_classes),
        )
    )
    initialise(network)
    return network


def _units(spec: Spec) -> Iterator[tuple[str, nn.Module]]:
    """Every unit with its name. The stages are the rows of Table 2; the stem is stage 1."""
    in_channels = scaled(STEM, spec.width)
    for stage, (expansion, unscaled, units, first_stride) in enumerate(STAGES, start=2):
        for number in range(1, units + 1):
            out_channels, stride = scaled(unscaled, spec.width), first_stride if number == 1 else 1
            yield f"SK_{stage}_{number}", _unit(spec, in_channels, expansion, out_channels, stride)
            in_channels = out_channels


def _unit(spec: Spec, in_channels: int, expansion: int, out_channels: int, stride: int) -> nn.Module:
    """The inverted residual. With t = 1 (the first stage) there is no 1x1 before the depthwise convolution."""
    from torch import nn

    from sklab.models.attention.gates import gate
    from sklab.models.blocks import Residual, conv_norm, depthwise

    inner = expansion * in_channels
    body = nn.Sequential() if expansion == 1 else conv_norm(in_channels, inner).append(nn.ReLU6(inplace=True))
    if spec.is_plain:
        body.extend([*conv_norm(inner, inner, 3, stride=stride, groups=inner), nn.ReLU6(inplace=True)])
    else:
        body.append(depthwise(spec, inner, stride))
    body.extend([*conv_norm(inner, out_channels), gate(spec.attention, out_channels, spec.hidden(out_channels))])
    return Residual(body) if stride == 1 and in_channels == out_channels else body
