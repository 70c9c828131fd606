"""MobileNet (Howard et al., arXiv 1704.04861, Table 1), plain, with SE and with SK."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sklab.spec import limits
from sklab.spec.model import KINDS, LightSpec, read_sides, scaled

if TYPE_CHECKING:
    from torch import nn

STEM = 32
# Output channels and stride of every unit.
UNITS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1),
)  # fmt: skip


class Spec(LightSpec):
    """3x3/2 convolution, then units of a depthwise and a 1x1 convolution, each with BN and ReLU.

    width  multiplier of all channels, which are rounded to multiples of 8
    """

    family: Literal["mobilenetv1"] = "mobilenetv1"
    width: float = Field(default=1.0, gt=0, le=limits.MULTIPLIER)

    def sides(self, image_size: int) -> tuple[int, ...]:
        """Sides of the maps after the stem, which halves the image."""
        return read_sides(-(-image_size // 2), (stride for _, stride in UNITS))

    def built(self) -> dict[str, Any]:
        """With the channels of the stem and of every unit in place of their multiplier."""
        channels = [scaled(unscaled, self.width) for unscaled in (STEM, *(width for width, _ in UNITS))]
        return {**self.built_with(channels[:-1], channels[1:]), "width": channels}


SETTINGS: dict[str, dict[str, Any]] = {f"mobilenetv1{kind}": how for kind, how in KINDS.items()}


def build(spec: Spec) -> nn.Module:
    """The network with fresh weights from torch's global generator."""
    from torch import nn

    from sklab.models.blocks import GlobalAverage, initialise
    from sklab.models.sk import ConvNormAct
    from sklab.spec.model import Branch

    network = nn.Sequential(
        OrderedDict(
            stem=ConvNormAct(spec.in_channels, scaled(STEM, spec.width), Branch(kernel=3, groups=1), stride=2),
            units=nn.Sequential(OrderedDict(_units(spec))),
            pool=GlobalAverage(),
            head=nn.Linear(scaled(UNITS[-1][0], spec.width), spec.num_classes),
        )
    )
    initialise(network)
    return network


def _units(spec: Spec) -> Iterator[tuple[str, nn.Module]]:
    """Every unit with its name. A unit of stride 2 begins a stage; the stem is stage 1."""
    from torch import nn

    from sklab.models.attention.gates import gate
    from sklab.models.blocks import depthwise
    from sklab.models.sk import ConvNormAct
    from sklab.spec.model import Branch

    stage, number, in_channels = 2, 0, scaled(STEM, spec.width)
    for unscaled, stride in UNITS:
        stage, number = (stage + 1, 1) if stride == 2 else (stage, number + 1)
        width = scaled(unscaled, spec.width)
        point = ConvNormAct(in_channels, width, Branch(kernel=1, groups=1))
        yield (
            f"SK_{stage}_{number}",
            nn.Sequential(depthwise(spec, in_channels, stride), point, gate(spec.attention, width, spec.hidden(width))),
        )
        in_channels = width
