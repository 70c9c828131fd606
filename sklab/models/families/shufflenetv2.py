"""ShuffleNetV2 (Ma, Zhang, Zheng, Sun, ECCV 2018, section 3.1 and Table 5), plain, with SE and with SK."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from sklab.spec import limits
from sklab.spec.model import KINDS, Depths, LightSpec, read_sides, size_faults
from sklab.spec.values import Seq, ensure_no_broken_rule

if TYPE_CHECKING:
    from torch import nn
_WIDTHS = {"x0_5": [48, 96, 192], "x1_0": [116, 232, 464]}


class Spec(LightSpec):
    """3x3/2 convolution, 3x3/2 max pool, stages of units that shuffle two halves of the channels, 1x1 convolution.

    stem_width  channels of the first convolution
    depths      units of each stage; the first unit of every stage halves the image
    widths      output channels of each stage, even numbers
    last_width  channels of the last 1x1 convolution

    The published network has no ReLU after a depthwise convolution. The branches of an SK convolution, or of a sum of
    several convolutions, end in one.
    """

    family: Literal["shufflenetv2"] = "shufflenetv2"
    stem_width: int = Field(default=24, ge=1, le=limits.CHANNELS)
    depths: Depths = (4, 8, 4)
    widths: Seq[Annotated[int, Field(ge=2, le=limits.CHANNELS)]] = Field(default=(116, 232, 464), min_length=1)
    last_width: int = Field(default=1024, ge=1, le=limits.CHANNELS)

    def sides(self, image_size: int) -> tuple[int, ...]:
        """Sides of the maps after the stem, which halves the image twice."""
        strides = (1 if unit else 2 for depth in self.depths for unit in range(depth))
        return read_sides(-(-image_size // 4), strides)

    def built(self) -> dict[str, Any]:
        """The first unit of a stage has a depthwise convolution of what it reads, and every unit one of half of what it
        gives."""
        read = (self.stem_width, *self.widths[:-1])
        return self.built_with((*read, *(width // 2 for width in self.widths)), self.widths)

    @model_validator(mode="after")
    def _fits(self) -> Spec:
        ensure_no_broken_rule(self._broken())
        return self

    def _broken(self) -> Iterator[str]:
        if len(self.depths) != len(self.widths):
            yield f"{len(self.depths)} depths for {len(self.widths)} widths"
        if any(width % 2 for width in self.widths):
            yield "every stage needs an even number of channels"
        yield from size_faults(self.depths, self.branches)


# Table 4 of the SKNet paper prints 1.40 M for the plain network 0.5x; it has 1.37 M here. Perhaps the paper rounds.
SETTINGS: dict[str, dict[str, Any]] = {
    f"shufflenetv2_{size}{kind}": {"widths": widths, **how}
    for size, widths in _WIDTHS.items()
    for kind, how in KINDS.items()
}


def build(spec: Spec) -> nn.Module:
    """The network with fresh weights from torch's global generator."""
    from torch import nn

    from sklab.models.blocks import GlobalAverage, initialise
    from sklab.models.sk import ConvNormAct
    from sklab.spec.model import Branch

    stem = ConvNormAct(spec.in_channels, spec.stem_width, Branch(kernel=3, groups=1), stride=2)
    last = ConvNormAct(spec.widths[-1], spec.last_width, Branch(kernel=1, groups=1))
    network = nn.Sequential(
        OrderedDict(
            stem=stem.append(nn.MaxPool2d(3, stride=2, padding=1)),
            units=nn.Sequential(OrderedDict(_units(spec))),
            last=last.append(GlobalAverage()),
            head=nn.Linear(spec.last_width, spec.num_classes),
        )
    )
    initialise(network)
    return network


def _units(spec: Spec) -> Iterator[tuple[str, nn.Module]]:
    """Every unit with its name, in order; the stem is stage 1."""
    from sklab.models.attention.gates import gate
    from sklab.models.blocks import Shuffled

    in_channels = spec.stem_width
    for stage, (depth, width) in enumerate(zip(spec.depths, spec.widths, strict=True), start=2):
        left, right = _path(spec, in_channels, width // 2, 2), _path(spec, in_channels, width // 2, 2, is_right=True)
        yield f"SK_{stage}_1", Shuffled(left, right, gate(spec.attention, width, spec.hidden(width)))
        for number in range(2, depth + 1):
            right = _path(spec, width // 2, width // 2, 1, is_right=True)
            yield f"SK_{stage}_{number}", Shuffled(None, right, gate(spec.attention, width, spec.hidden(width)))
        in_channels = width


def _path(spec: Spec, in_channels: int, out_channels: int, stride: int, *, is_right: bool = False) -> nn.Module:
    """1x1 (in the right path only) - depthwise - 1x1."""
    from torch import nn

    from sklab.models.blocks import conv_norm, depthwise
    from sklab.models.sk import ConvNormAct
    from sklab.spec.model import Branch

    point, inner = Branch(kernel=1, groups=1), out_channels if is_right else in_channels
    spatial = (
        conv_norm(inner, inner, 3, stride=stride, groups=inner) if spec.is_plain else depthwise(spec, inner, stride)
    )
    first = [ConvNormAct(in_channels, inner, point)] if is_right else []
    return nn.Sequential(*first, spatial, ConvNormAct(inner, out_channels, point))
