"""A network as a value: the branches of an SK convolution and the bottleneck family around it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from sklab.spec.values import Seq, Value, broken_rule

EXPANSION = 2  # channels double from stage to stage (paper, Table 1)
_MULTIPLE = re.compile(r"(\d+)x")


class Branch(Value):
    """One path of an SK convolution: a `kernel` x `kernel` convolution with its own dilation D and groups G."""

    kernel: int = Field(ge=1)
    dilation: int = Field(default=1, ge=1)
    groups: int = Field(ge=1, description="a whole number, or a multiple of the cardinality such as 2x")

    @field_validator("kernel")
    @classmethod
    def _odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError("a kernel must be odd, else its output is shifted by half a pixel")
        return kernel

    @property
    def resulting_kernel(self) -> int:
        """Side of the window this branch sees, in pixels: D (k - 1) + 1 (paper, Table 6)."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def padding(self) -> int:
        """Padding on each side that keeps the size at stride 1."""
        return self.dilation * (self.kernel - 1) // 2

    def __str__(self) -> str:
        dilated = f" D{self.dilation}" if self.dilation > 1 else ""
        return f"{self.kernel}x{self.kernel}{dilated} G{self.groups}"


class ModelSpec(Value):
    """A network of 1x1 - SK(branches) - 1x1 bottlenecks: ResNeXt, SENet or SKNet (paper, Table 1).

    stem         `imagenet`: 7x7/2 convolution and 3x3/2 max pool; `small`: 3x3/2 convolution (32x32 input)
    depths       units per stage; the first unit of every stage but the first has stride 2
    width        inner channels C of the first stage (128 in SKNet-50); doubles per stage
    out_width    output channels of the first stage (256 in SKNet-50); doubles per stage
    cardinality  G of a branch that states no groups of its own
    branches     M = len(branches). In YAML, `groups` may be left out (the cardinality), be a number, or
                 `2x`, `4x`, ... : that multiple of the cardinality
    attention    `sk`: softmax over the branches; `none`: plain sum, no fuse/select parameters;
                 `se`: plain sum with squeeze-and-excitation on the unit's output (SENet)
    reduction    r: d = max(C / r, L); for `se`: hidden channels = out channels / r
    min_dim      L, unused by `se`
    """

    family: Literal["bottleneck"] = "bottleneck"
    stem: Literal["imagenet", "small"] = "imagenet"
    stem_width: int = Field(default=64, ge=1)
    depths: Seq[int] = Field(min_length=1)
    width: int = Field(default=128, ge=1)
    out_width: int = Field(default=256, ge=1)
    cardinality: int = Field(default=32, ge=1)
    branches: Seq[Branch] = Field(min_length=1)
    attention: Literal["none", "se", "sk"] = "sk"
    reduction: int = Field(default=16, ge=1)
    min_dim: int = Field(default=32, ge=1)
    in_channels: int = Field(default=3, ge=1)
    num_classes: int = Field(default=1000, ge=2)

    @model_validator(mode="before")
    @classmethod
    def _resolve_groups(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping) or not isinstance(raw.get("branches"), (list, tuple)):
            return raw
        cardinality = raw.get("cardinality", cls.model_fields["cardinality"].default)
        return {**raw, "branches": [_with_groups(branch, cardinality) for branch in raw["branches"]]}

    @field_validator("depths")
    @classmethod
    def _has_units(cls, depths: tuple[int, ...]) -> tuple[int, ...]:
        if min(depths) < 1:
            raise ValueError("every stage needs at least one unit")
        return depths

    @model_validator(mode="after")
    def _fits(self) -> ModelSpec:
        for number, branch in enumerate(self.branches, start=1):
            for channels in self.stage_widths:
                if channels % branch.groups:
                    raise broken_rule(f"branch {number} ({branch}): G = {branch.groups} does not divide C = {channels}")
        if self.attention == "se" and self.out_width < self.reduction:
            raise broken_rule(f"r = {self.reduction} leaves no channel of out_width = {self.out_width}")
        return self

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Inner channels C per stage."""
        return tuple(self.width * EXPANSION**stage for stage in range(len(self.depths)))

    @property
    def stage_out_widths(self) -> tuple[int, ...]:
        """Output channels per stage."""
        return tuple(self.out_width * EXPANSION**stage for stage in range(len(self.depths)))

    def squeezed(self, channels: int) -> int:
        """d = max(C / r, L) for C = `channels` (paper, equation 4)."""
        return max(channels // self.reduction, self.min_dim)


def _with_groups(branch: Any, cardinality: Any) -> Any:
    """`branch` with groups as a number where it left them out or gave a multiple such as `2x`."""
    if not isinstance(branch, Mapping) or not isinstance(cardinality, int):
        return branch
    groups = branch.get("groups", cardinality)
    multiple = _MULTIPLE.fullmatch(groups) if isinstance(groups, str) else None
    return {**branch, "groups": int(multiple[1]) * cardinality if multiple else groups}
