"""What the light networks share: depthwise convolutions that SK convolutions can take the place of."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from sklab.spec import limits
from sklab.spec.model import ModelSpec, Window
from sklab.spec.values import Seq


class LightSpec(ModelSpec):
    """A network of 1x1 convolutions and depthwise ones.

    branches   M = len(branches): the depthwise convolutions in the place of each 3x3 one; G is the number of channels
    attention  `sk`: softmax over the branches; `none`: plain sum, no fuse/select parameters;
               `se`: plain sum, with squeeze-and-excitation on every unit's output
    reduction  r: d = max(C / r, L), for `sk` with the channels C of the depthwise convolution, for `se` of the unit
    min_dim    L
    """

    branches: Seq[Window] = Field(min_length=1, max_length=limits.BRANCHES)
    attention: Literal["none", "se", "sk"] = "none"
    reduction: int = Field(default=16, ge=1, le=limits.CHANNELS)
    min_dim: int = Field(default=24, ge=1, le=limits.CHANNELS)

    @property
    def is_plain(self) -> bool:
        """Whether the depthwise convolutions are the published 3x3 ones, alone and without attention over branches."""
        return self.branches == (Window(kernel=3),) and self.attention != "sk"

    @property
    def windows(self) -> tuple[Window, ...]:
        """The depthwise convolutions."""
        return self.branches

    @property
    def attends(self) -> bool:
        """Whether they are SK convolutions."""
        return self.attention == "sk"

    def squeezed(self, channels: int) -> int:
        """d = max(C / r, L) for C = `channels` (paper, equation 4)."""
        return max(channels // self.reduction, self.min_dim)


# A reading: Table 4 of the paper gives parameters, not where SE and SK sit in a light network nor how wide they are.
# SK convolutions with L = 24 for all depthwise ones, and SE with L = 48 on every unit's output, come within 2 % of its
# rows with SE and SK. r = 16 is as elsewhere and decides nothing in ShuffleNetV2, where C / r is below L throughout.
KINDS: dict[str, dict[str, Any]] = {
    "": {"branches": [{"kernel": 3}]},
    "_se": {"branches": [{"kernel": 3}], "attention": "se", "min_dim": 48},
    "_sk": {"branches": [{"kernel": 3}, {"kernel": 3, "dilation": 2}], "attention": "sk"},
}


def scaled(channels: int, width: float) -> int:
    """`channels` times `width`, rounded to a multiple of 8 of at least 8."""
    return max(8, 8 * int(channels * width / 8 + 0.5))
