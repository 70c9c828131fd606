"""The settings of a network. The families are the modules of `sklab.models.families`, one file each."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, field_validator

import sklab.models.families
from sklab.spec import limits
from sklab.spec.start.weights import Weights
from sklab.spec.values import Seq, Value

DEFAULT_FAMILY = "bottleneck"  # of a network without `family`


_GROUPS = f"a whole number from 1 to {limits.CHANNELS}, or a multiple of the cardinality such as 2x"
# Units of each stage.
Depths = Annotated[Seq[Annotated[int, Field(ge=1, le=limits.UNITS)]], Field(min_length=1, max_length=limits.STAGES)]
# Our interpretation: Table 4 of the paper gives parameters, but not the place and width of SE and SK in light networks.
# SK convolutions with L = 24 for all depthwise ones, and SE with L = 48 on every unit's output, are within 2 % of its
# rows with SE and SK. r = 16 as elsewhere; it has no effect in ShuffleNetV2, where C / r is always below L.
KINDS: dict[str, dict[str, Any]] = {
    "": {"branches": [{"kernel": 3}]},
    "_se": {"branches": [{"kernel": 3}], "attention": "se", "min_dim": 48},
    "_sk": {"branches": [{"kernel": 3}, {"kernel": 3, "dilation": 2}], "attention": "sk"},
}


class Window(Value):
    """The window of a `kernel` x `kernel` convolution with dilation D.

    kernel    side of the kernel, an odd number
    dilation  D: distance of the pixels that the kernel reads, so that it spans D (kernel - 1) + 1 pixels
    """

    kernel: int = Field(ge=1, le=limits.KERNEL)
    dilation: int = Field(default=1, ge=1, le=limits.KERNEL)

    @field_validator("kernel")
    @classmethod
    def _odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError("a kernel must be odd, else its output is shifted by half a pixel")
        return kernel

    @property
    def resulting_kernel(self) -> int:
        """Side of the window in pixels: D (k - 1) + 1 (paper, Table 6)."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def padding(self) -> int:
        """Padding on each side that keeps the size at stride 1."""
        return self.dilation * (self.kernel - 1) // 2

    def __str__(self) -> str:
        dilated = f" D{self.dilation}" if self.dilation > 1 else ""
        return f"{self.kernel}x{self.kernel}{dilated}"


def size_faults(depths: Sequence[int], branches: Sequence[Window]) -> Iterator[str]:
    """A message if the network has more units, or more convolutions in them, than allowed."""
    units = sum(depths)
    if units > limits.UNITS:
        yield f"{units} units; allowed: up to {limits.UNITS}"
    elif units * len(branches) > limits.CONVOLUTIONS:
        yield f"{units} units of {len(branches)} branches; allowed: up to {limits.CONVOLUTIONS} branches in all"


class Branch(Window):
    """One path of an SK convolution: a `kernel` x `kernel` convolution with its own dilation D and groups G.

    groups  G of the convolution: a number, or a multiple of the cardinality, such as `2x`
    """

    groups: int = Field(ge=1, le=limits.CHANNELS, description=_GROUPS)

    def __str__(self) -> str:
        return f"{super().__str__()} G{self.groups}"


def built_windows(windows: Iterable[Window]) -> list[dict[str, Any]]:
    """The windows as they are built, as plain values: a 1x1 convolution is the same with every dilation."""
    return [window.model_dump(mode="json") | ({"dilation": 1} if window.kernel == 1 else {}) for window in windows]


# How an SK convolution weighs its branches; and what gates the output of a unit, whose branches are summed.
Mixer = Literal["none", "mean", "static", "sk", "splat", "lsk"]
Gate = Literal["se", "eca", "cbam"]
FusePool = Literal["average", "max", "both"]
SelectAct = Literal["softmax", "sigmoid"]
WITH_HIDDEN = ("se", "bam", "cbam")  # the gates that squeeze their channels
_FUSING = ("sk", "splat")  # with a descriptor of the sum of the branches
_CHOICES = ("fuse_pool", "select_act")


class Mixing(Value):
    """How an SK convolution mixes its M branches of C channels (`sklab.models.attention.mixers`).

    kind        `none`: plain sum; `mean`: 1 / M; `static`: a learned softmax that does not see the input; `sk`: Fuse
                and Select; `splat`: split attention of ResNeSt; `lsk`: spatial selection of LSKNet
    squeezed    d, the width of the descriptor of `sk` and `splat`, which alone have the two settings below
    fuse_pool   what is pooled from the sum of the branches
    select_act  `softmax`: the weights share one; `sigmoid`: each is for itself
    """

    kind: Mixer = "sk"
    squeezed: int = Field(default=32, ge=1)
    fuse_pool: FusePool = "average"
    select_act: SelectAct = "softmax"

    @property
    def fuses(self) -> bool:
        """Whether the weights come from a descriptor of the sum of the branches."""
        return self.kind in _FUSING


class ModelSpec(Value):
    """Base of every family's `Spec`.

    family       the family of networks: a module in `sklab.models.families`
    in_channels  channels of the input
    num_classes  number of classes
    init         trained weights from which the network starts (`null`: from fresh ones)
    """

    added: ClassVar[frozenset[str]] = frozenset({"init"})

    family: str
    in_channels: int = Field(default=3, ge=1, le=limits.CHANNELS)
    num_classes: int = Field(default=1000, ge=2, le=limits.CLASSES)
    init: Weights | None = Field(default=None, description="the path of a file of trained weights")

    @property
    def start(self) -> str:
        """The trained weights that the network starts from, in words; "" where they are fresh."""
        return str(self.init) if self.init else ""

    @property
    def fresh(self) -> ModelSpec:
        """The same network with fresh weights."""
        return self.model_copy(update={"init": None})

    @property
    def unconverted(self) -> ModelSpec:
        """The network that trained weights are for; the family's `converted` then makes of it what is trained here,
        where that is another."""
        return self

    @property
    def image_size(self) -> int:
        """The input size, in pixels a side, that the network is made for."""
        return 224

    @property
    def libraries(self) -> tuple[str, ...]:
        """The packages that the network comes from, beyond those that every run needs."""
        return ()

    @property
    def windows(self) -> tuple[Window, ...]:
        """The branches of the SK convolutions or their replacements; empty if they are not known here."""
        return ()

    @property
    def shares(self) -> bool:
        """Whether the branches share a weight of one by a softmax, so that it does nothing to a single branch."""
        return False

    def sides(self, image_size: int) -> tuple[int, ...]:
        """Sides of the maps that the branches read, in pixels, for images of this size; empty if not known here."""
        del image_size
        return ()

    def parts(self) -> frozenset[str]:
        """The parts that decide the convolutions: if others have all parts of a network, they have all its
        convolutions."""
        return frozenset({self.model_dump_json()})

    def built(self) -> dict[str, Any]:
        """The network that these settings build, as plain values. Specifications with equal values build the same
        layers in the same order, so that with one seed their weights are equal too. Here: all settings, as if each had
        an effect."""
        return self.model_dump(mode="json")


def read_sides(side: int, strides: Iterable[int]) -> tuple[int, ...]:
    """The distinct sides of the maps that successive units with these strides read, from `side` on."""
    sides = []
    for stride in strides:
        sides.append(side)
        side = -(-side // stride)
    return tuple(dict.fromkeys(sides))


@cache  # called for every record read
def families() -> tuple[str, ...]:
    """Names of the available families."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(sklab.models.families.__path__)))


def family_module(name: str) -> Any:
    """The module of the family called `name`. Raises ModuleNotFoundError if there is none."""
    return importlib.import_module(f"sklab.models.families.{name}")


def family_spec(name: str) -> type[ModelSpec]:
    """The `Spec` of the family called `name`. Raises ModuleNotFoundError if there is none."""
    spec: type[ModelSpec] = family_module(name).Spec
    return spec


def networks() -> tuple[str, ...]:
    """Names of the available networks."""
    return tuple(name for family in families() for name in family_module(family).SETTINGS)


class SKSpec(ModelSpec):
    """A network of units with M branches and attention.

    branches    the M branches of every SK convolution
    attention   how the branches are weighed, or with their plain sum, what gates the output of a unit (`se`, `eca`,
                `cbam`)
    reduction   r: attention squeezes C channels to d = max(C / r, L)
    min_dim     L, the smallest d
    fuse_pool   what `sk` and `splat` pool from the sum of the branches
    select_act  how `sk` and `splat` weigh: `softmax` shares one among the branches, `sigmoid` weighs each for itself
    """

    added: ClassVar[frozenset[str]] = ModelSpec.added | {"fuse_pool", "select_act"}

    branches: Seq[Any]
    attention: str
    reduction: int = Field(default=16, ge=1, le=limits.CHANNELS)
    min_dim: int = Field(default=32, ge=1, le=limits.CHANNELS)
    fuse_pool: FusePool = "average"
    select_act: SelectAct = "softmax"

    @property
    def windows(self) -> tuple[Window, ...]:
        """The branches."""
        return self.branches

    @property
    def shares(self) -> bool:
        """Whether a softmax weighs the branches."""
        return self.attention == "static" or (self.attention in _FUSING and self.select_act == "softmax")

    def squeezed(self, channels: int) -> int:
        """d = max(C / r, L) for C = `channels` (paper, equation 4)."""
        return max(channels // self.reduction, self.min_dim)

    def hidden(self, channels: int) -> int:
        """Hidden channels of the gate on `channels`."""
        return self.squeezed(channels)

    def mixing(self, channels: int) -> Mixing:
        """How the SK convolutions of `channels` mix their branches."""
        kind: Any = self.attention if self.attention in get_args(Mixer) else "none"
        squeezed = self.squeezed(channels)
        return Mixing(kind=kind, squeezed=squeezed, fuse_pool=self.fuse_pool, select_act=self.select_act)

    def built_with(self, mixed: Iterable[int], gated: Iterable[int]) -> dict[str, Any]:
        """`built` for these channels C of the SK convolutions and of what is gated: the widths d of attention take the
        place of r and L. Settings without effect are left out, and so is a mean of one branch."""
        fuses, idle = self.attention in _FUSING, self.attention == "mean" and len(self.branches) == 1
        widths = {c: self.squeezed(c) for c in mixed} if fuses else {}
        if self.attention in WITH_HIDDEN:
            widths = {c: self.hidden(c) for c in gated}
        kept = self.model_dump(mode="json", exclude={"reduction", "min_dim", *(() if fuses else _CHOICES)})
        attention = "none" if idle else self.attention
        return {**kept, "attention": attention, "branches": built_windows(self.branches), "squeezed": widths}


class LightSpec(SKSpec):
    """A network of 1x1 and depthwise convolutions.

    branches   the depthwise convolutions that replace each 3x3 one
    attention  how the branches are weighed (`none`: plain sum), or with their plain sum, what gates the output of every
               unit (`se`, `eca`, `cbam`)
    reduction  r: attention squeezes C channels to d = max(C / r, L), with the channels C of the depthwise convolution,
               or of the unit
    min_dim    L, the smallest d
    """

    branches: Seq[Window] = Field(min_length=1, max_length=limits.BRANCHES)
    attention: Literal[Mixer, Gate] = "none"
    min_dim: int = Field(default=24, ge=1, le=limits.CHANNELS)

    @property
    def is_plain(self) -> bool:
        """Whether the depthwise convolutions are the published 3x3 ones, alone and with nothing that weighs them."""
        return self.branches == (Window(kernel=3),) and self.mixing(1).kind in ("none", "mean")


def scaled(channels: int, width: float) -> int:
    """`channels` times `width`, rounded to a multiple of 8 of at least 8."""
    return max(8, 8 * int(channels * width / 8 + 0.5))
