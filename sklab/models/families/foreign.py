"""Networks of timm and torchvision by the libraries' names, unchanged or with SK convolutions in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from sklab.errors import SklabError
from sklab.spec import limits
from sklab.spec.model import Mixer, Mixing, ModelSpec, Window
from sklab.spec.values import Seq, Value, ensure_no_broken_rule

if TYPE_CHECKING:
    from torch import Tensor, nn

_GROUPS = "a whole number of at least 1, or a multiple of the convolution's own such as 2x"
SETTINGS: dict[str, dict[str, Any]] = {}  # the libraries name the networks


class SKBranch(Window):
    """One path of an SK convolution.

    groups  G of the convolution: a number, or a multiple of the groups of the convolution that it replaces
    """

    groups: int | str = Field(default="1x", description=_GROUPS)

    @field_validator("groups", mode="plain")
    @classmethod
    def _known(cls, groups: Any) -> int | str:
        whole = type(groups) is int and 1 <= groups <= limits.CHANNELS
        if not whole and not (isinstance(groups, str) and re.fullmatch(r"[1-9]\d{0,8}x", groups)):
            raise ValueError(f"groups must be {_GROUPS}")
        return groups  # type: ignore[no-any-return]


class SK(Value):
    """Arguments of `sklab.models.convert.to_sk`.

    select     which convolutions are replaced: `grouped3x3`, `depthwise3x3`, or a glob over their dotted paths
    branches   the M branches of every SK convolution
    attention  how the branches are weighed (`none`: plain sum)
    reduction  r: `sk` and `splat` squeeze C output channels to d = max(C / r, L)
    min_dim    L, the smallest d
    """

    select: str = Field(min_length=1)
    branches: Seq[SKBranch] = Field(min_length=1, max_length=limits.BRANCHES)
    attention: Mixer = "sk"
    reduction: int = Field(default=16, ge=1, le=limits.CHANNELS)
    min_dim: int = Field(default=32, ge=1, le=limits.CHANNELS)


class Spec(ModelSpec):
    """The network that `library` calls `name`.

    library     the library that makes the network
    name        what the library calls it
    sk          what becomes of its convolutions (`null`: they stay as they are)
    pretrained  it starts from the weights that the library offers for it, which the library downloads
    """

    added: ClassVar[frozenset[str]] = ModelSpec.added | {"pretrained"}

    family: Literal["foreign"] = "foreign"
    library: Literal["timm", "torchvision"]
    name: str = Field(min_length=1)
    sk: SK | None = None
    pretrained: bool = False

    @model_validator(mode="after")
    def _one_start(self) -> Spec:
        ensure_no_broken_rule(
            ["pretrained and init are two starts; allowed: one"] if self.pretrained and self.init else ()
        )
        return self

    @property
    def start(self) -> str:
        """A file or the library's weights."""
        return f"{self.library}'s weights of {self.name}" if self.pretrained else super().start

    @property
    def fresh(self) -> Spec:
        """Without a file and without the library's weights."""
        return self.model_copy(update={"init": None, "pretrained": False})

    @property
    def unconverted(self) -> Spec:
        """The network as the library has it."""
        return self.model_copy(update={"sk": None}) if self.sk else self

    @property
    def libraries(self) -> tuple[str, ...]:
        """The library that makes the network."""
        return (self.library,)

    def parts(self) -> frozenset[str]:
        """Each branch, with the network and the convolutions selected in it; and the convolution of `lsk`, to as many
        maps as branches."""
        if self.sk is None:
            return super().parts()
        around = self.model_dump_json(exclude={"sk": {"branches", "attention", "reduction", "min_dim"}})
        branches = {f"{around} {branch.model_dump_json()}" for branch in self.sk.branches}
        selection = {f"{around} lsk {len(self.sk.branches)}"} if self.sk.attention == "lsk" else set()
        return frozenset(branches | selection)

    def built(self) -> dict[str, Any]:
        """Without r and L where nothing is fused. What the library's convolutions make of the other settings is known
        only once they are built."""
        unused = {"reduction", "min_dim"} if self.sk and not Mixing(kind=self.sk.attention).fuses else set()
        return self.model_dump(mode="json", exclude={"sk": unused} if unused else None)


def build(spec: Spec) -> nn.Module:
    """The network with fresh weights from torch's global generator.

    Raises SklabError, with the remedy, when the library can't be imported or does not know the name, and with the
    reason when what `spec.sk` selects can't be replaced.
    """
    from sklab.models.libraries import create_foreign

    return converted(create_foreign(spec.library, spec.name, spec.num_classes, spec.in_channels), spec)


def converted(network: nn.Module, spec: Spec) -> nn.Module:
    """The library's `network` with what `spec.sk` says. Raises SklabError as `build` does."""
    from sklab.models.convert import to_sk

    if spec.sk is None:
        return network
    try:
        return to_sk(
            network,
            spec.sk.select,
            [branch.model_dump() for branch in spec.sk.branches],
            attention=spec.sk.attention,
            reduction=spec.sk.reduction,
            min_dim=spec.sk.min_dim,
        )
    except SklabError as error:
        raise SklabError(f"{spec.library}'s {spec.name}: {error}") from error


def pretrained(spec: Spec) -> Mapping[str, Tensor]:
    """The trained tensors that the library offers for the network. Raises SklabError where they can't be had."""
    from sklab.models.libraries import pretrained_tensors

    return pretrained_tensors(spec.library, spec.name)
