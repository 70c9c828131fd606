"""Networks of timm and torchvision by the libraries' names, unchanged or with SK convolutions in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from sklab.errors import SklabError
from sklab.spec import limits
from sklab.spec.model import Mixer, Mixing, ModelSpec, Window
from sklab.spec.values import Seq, Value

if TYPE_CHECKING:
    from torch import nn

_GROUPS = "a whole number of at least 1, or a multiple of the convolution's own such as 2x"
SETTINGS: dict[str, dict[str, Any]] = {}  # the libraries name the networks


class SKBranch(Window):
    """One path of an SK convolution. By default it has the groups of the convolution that it replaces."""

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

    select     `grouped3x3`, `depthwise3x3`, or a glob over the dotted path of a convolution
    branches   M = len(branches)
    attention  `none` (plain sum), `mean`, `static`, `sk`, `splat` or `lsk`, as in `Mixing`
    reduction  r: d = max(C / r, L), with `min_dim` L, for C output channels; of `sk` and `splat`
    """

    select: str = Field(min_length=1)
    branches: Seq[SKBranch] = Field(min_length=1, max_length=limits.BRANCHES)
    attention: Mixer = "sk"
    reduction: int = Field(default=16, ge=1, le=limits.CHANNELS)
    min_dim: int = Field(default=32, ge=1, le=limits.CHANNELS)


class Spec(ModelSpec):
    """The network that `library` calls `name`, with fresh weights. `sk` null: the network is not changed."""

    family: Literal["foreign"] = "foreign"
    library: Literal["timm", "torchvision"]
    name: str = Field(min_length=1)
    sk: SK | None = None

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

    network = create_foreign(spec.library, spec.name, spec.num_classes, spec.in_channels)
    try:
        return _converted(network, spec.sk) if spec.sk else network
    except SklabError as error:
        raise SklabError(f"{spec.library}'s {spec.name}: {error}") from error


def _converted(network: nn.Module, sk: SK) -> nn.Module:
    from sklab.models.convert import to_sk

    return to_sk(
        network,
        sk.select,
        [branch.model_dump() for branch in sk.branches],
        attention=sk.attention,
        reduction=sk.reduction,
        min_dim=sk.min_dim,
    )
