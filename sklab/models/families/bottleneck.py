"""The bottleneck family: ResNeXt, SENet and SKNet are one network with different branches and attention."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from sklab.spec import limits
from sklab.spec.model import WITH_HIDDEN, Branch, Depths, Gate, Mixer, SKSpec, read_sides, size_faults
from sklab.spec.values import Seq, ensure_no_broken_rule

if TYPE_CHECKING:
    from torch import nn

EXPANSION = 2  # channels double from stage to stage (paper, Table 1)
_MULTIPLE = re.compile(r"(\d{1,9})x")
_DEPTHS = {"26": [2, 2, 2, 2], "50": [3, 4, 6, 3], "101": [3, 4, 23, 3]}
_PLAIN = [{"kernel": 3}]
_SK = [{"kernel": 3}, {"kernel": 3, "dilation": 2}]  # SK[2, 32, 16]: 3x3, and 5x5 as 3x3 with D = 2
_SMALL: dict[str, Any] = {
    "stem": "small", "stem_width": 16, "depths": [1, 1, 1], "width": 16, "out_width": 32, "cardinality": 4,
    "min_dim": 8, "in_channels": 1, "num_classes": 10,
}  # fmt: skip
_KINDS: dict[str, dict[str, Any]] = {
    "resnext": {"branches": _PLAIN, "attention": "none"},
    "senet": {"branches": _PLAIN, "attention": "se"},
    "sknet": {"branches": _SK, "attention": "sk"},
}
# 29 layers for 32x32 images (Xie et al., CVPR 2017, section 5.3). Branches and r of SKNet-29 are our interpretation:
# 1x1 with 3x3 at r = 32 has 27.81 M parameters, the nearest to the paper's 27.7 M (Table 5).
_CIFAR: dict[str, Any] = {
    "stem": "cifar", "depths": [3, 3, 3], "width": 512, "cardinality": 16, "num_classes": 10,
}  # fmt: skip
_CIFAR_NETWORKS: dict[str, dict[str, Any]] = {
    "resnext29_16x32d": {**_KINDS["resnext"], **_CIFAR},
    "resnext29_8x64d": {**_KINDS["resnext"], **_CIFAR, "cardinality": 8},
    "resnext29_16x64d": {**_KINDS["resnext"], **_CIFAR, "width": 1024},
    "senet29": {
        **_KINDS["senet"],
        **_CIFAR,
        "cardinality": 8,
    },  # our interpretation: SE over 8x64d, 34.95 M for the printed 35.0
    "sknet29": {**_KINDS["sknet"], **_CIFAR, "branches": [{"kernel": 1}, {"kernel": 3}], "reduction": 32},
}
# ResNeXt-50 with about as many parameters as SKNet-50 (paper, Table 3). "Wider" is our interpretation: all stages wider
# by 1/16, which gives 34 groups of 4 channels and 28.02 M for the paper's 28.1. "Deeper" (two more units) and 36x4d
# have 27.28 M and 27.55 M for 27.3 and 27.6.
_CAPACITY: dict[str, dict[str, Any]] = {
    "resnext50_wider": {
        **_KINDS["resnext"],
        "depths": _DEPTHS["50"],
        "width": 136,
        "out_width": 272,
        "cardinality": 34,
    },
    "resnext56": {**_KINDS["resnext"], "depths": [3, 4, 8, 3]},
    "resnext50_36x4d": {**_KINDS["resnext"], "depths": _DEPTHS["50"], "width": 144, "cardinality": 36},
}


class Spec(SKSpec):
    """A network of 1x1 - SK(branches) - 1x1 bottlenecks: ResNeXt, SENet or SKNet (paper, Table 1).

    stem         the first layers. `imagenet`: 7x7/2 convolution and 3x3/2 max pool; `small`: 3x3/2 convolution, for
                 32x32 images; `cifar`: 3x3 convolution, for 32x32 images
    stem_width   output channels of the first convolution
    depths       units of each stage; the first unit of each stage after the first has stride 2
    width        inner channels C of the first stage (128 in SKNet-50); they double from stage to stage
    out_width    output channels of the first stage (256 in SKNet-50); they double from stage to stage
    cardinality  groups G of a branch that states none
    branches     the M branches of every SK convolution
    attention    how the branches are weighed (`none`: plain sum), or with their plain sum, what gates the output of a
                 unit (`se` as in SENet, `eca`, `cbam`) or of each stage but the last (`bam`)
    reduction    r: `sk` and `splat` squeeze C channels to d = max(C / r, L); `se`, `bam` and `cbam` have output
                 channels / r hidden channels
    min_dim      L, the smallest d of `sk` and `splat`
    """

    family: Literal["bottleneck"] = "bottleneck"
    stem: Literal["imagenet", "small", "cifar"] = "imagenet"
    stem_width: int = Field(default=64, ge=1, le=limits.CHANNELS)
    depths: Depths
    width: int = Field(default=128, ge=1, le=limits.CHANNELS)
    out_width: int = Field(default=256, ge=1, le=limits.CHANNELS)
    cardinality: int = Field(default=32, ge=1, le=limits.CHANNELS)
    branches: Seq[Branch] = Field(min_length=1, max_length=limits.BRANCHES)
    attention: Literal[Mixer, Gate, "bam"] = "sk"

    @model_validator(mode="before")
    @classmethod
    def _resolve_groups(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping) or not isinstance(raw.get("branches"), (list, tuple)):
            return raw
        cardinality = raw.get("cardinality", cls.model_fields["cardinality"].default)
        return {**raw, "branches": [_with_groups(branch, cardinality) for branch in raw["branches"]]}

    @model_validator(mode="after")
    def _fits(self) -> Spec:
        ensure_no_broken_rule(self._broken())
        return self

    def _broken(self) -> Iterator[str]:
        yield from size_faults(self.depths, self.branches)
        for number, branch in enumerate(self.branches, start=1):
            if indivisible := [channels for channels in self.stage_widths if channels % branch.groups]:
                yield f"branch {number} ({branch}): G = {branch.groups} does not divide C = {indivisible[0]}"
        if self.attention in WITH_HIDDEN and self.out_width < self.reduction:
            yield f"r = {self.reduction} leaves no channel of out_width = {self.out_width}"

    @property
    def image_size(self) -> int:
        """224 for the ImageNet stem, else 32."""
        return 224 if self.stem == "imagenet" else 32

    def sides(self, image_size: int) -> tuple[int, ...]:
        """The first unit of each stage after the first reads the map of the previous stage."""
        stem = -(-image_size // {"imagenet": 4, "small": 2, "cifar": 1}[self.stem])
        strides = (2 if stage and not unit else 1 for stage, depth in enumerate(self.depths) for unit in range(depth))
        return read_sides(stem, strides)

    def parts(self) -> frozenset[str]:
        """Each branch with the rest of the network; and the number of branches with the settings of fuse and select."""
        mixed = {"attention", "reduction", "min_dim", "fuse_pool", "select_act"}
        around, squeeze = self.model_dump_json(exclude={"branches", *mixed}), self.model_dump_json(include=mixed)
        branches = {f"{around} {branch}" for branch in self.branches}
        return frozenset({f"{around} {squeeze} {len(self.branches)}", *branches})

    def built(self) -> dict[str, Any]:
        """With the widths of attention in place of r and L; the cardinality stands in the groups of the branches."""
        gated = self.stage_out_widths[:-1] if self.attention == "bam" else self.stage_out_widths
        built = {**self.built_with(self.stage_widths, gated), "cardinality": None}
        return built if gated else {**built, "attention": "none"}  # there is no place between the stages of only one

    def hidden(self, channels: int) -> int:
        """Out channels / r."""
        return channels // self.reduction

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Inner channels C per stage."""
        return tuple(self.width * EXPANSION**stage for stage in range(len(self.depths)))

    @property
    def stage_out_widths(self) -> tuple[int, ...]:
        """Output channels per stage."""
        return tuple(self.out_width * EXPANSION**stage for stage in range(len(self.depths)))


def _with_groups(branch: Any, cardinality: Any) -> Any:
    """`branch` with its groups as a number, also where it leaves them out or gives a multiple such as `2x`."""
    if not isinstance(branch, Mapping) or not isinstance(cardinality, int):
        return branch
    groups = branch.get("groups", cardinality)
    multiple = _MULTIPLE.fullmatch(groups) if isinstance(groups, str) else None
    return {**branch, "groups": int(multiple[1]) * cardinality if multiple else groups}


# By name, the settings that are not defaults, as in an experiment file.
SETTINGS: dict[str, dict[str, Any]] = {
    **{
        f"{kind}{size}": {**settings, "depths": depths}
        for kind, settings in _KINDS.items()
        for size, depths in _DEPTHS.items()
    },
    **{f"{kind}_small": {**settings, **_SMALL} for kind, settings in _KINDS.items()},
    **_CIFAR_NETWORKS,
    **_CAPACITY,
}


def build(spec: Spec) -> nn.Module:
    """The network with fresh weights from torch's global generator."""
    from sklab.models.bottleneck import BottleneckNet

    return BottleneckNet(spec)
