"""Networks by name and by specification, and what they cost.

Costs are counted in a forward pass on the meta device: shapes only, no weights, no arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sklab.errors import Fault, FaultyInputError, SklabError
from sklab.models.sk import DecimatedConv2d
from sklab.own.files import called, own
from sklab.spec.model import ModelSpec, family_module, family_spec
from sklab.spec.names import did_you_mean
from sklab.spec.networks import SETTINGS
from sklab.spec.own.parts import OwnModel
from sklab.spec.values import Place, Value, fault_of, value_class

# What gives the shape that it takes; hardtanh is ReLU6.
_SHAPE_KEEPING = (F.batch_norm, F.relu, F.hardtanh, Tensor.addcmul_, Tensor.softmax, Tensor.sigmoid)
Pair = tuple[int, int]


def list_models() -> tuple[str, ...]:
    """Every name that `create_model` knows."""
    return tuple(SETTINGS)


def create_model(name: str, **overrides: Any) -> nn.Module:
    """The network called `name`, with fields of its specification replaced: `create_model("sknet50", num_classes=10)`.

    Input [N, in_channels, H, W], output logits [N, num_classes]; weights drawn from torch's global generator.
    Raises FaultyInputError for an unknown name, and for overrides that do not fit (every fault at once).
    """
    if name not in SETTINGS:
        known, hint = ", ".join(SETTINGS), did_you_mean(name, SETTINGS)
        raise FaultyInputError([Fault("create_model", "name", "unknown model", 0, repr(name), known, hint)])
    return build(specified({**SETTINGS[name], **overrides}, f"create_model({name!r})"))


def specified(settings: Mapping[str, Any], source: str) -> ModelSpec:
    """The specification of a network with these settings, of a known `family`. Raises FaultyInputError, naming them as
    those of `source`, for settings that do not fit."""
    spec = family_spec(settings["family"])
    try:
        return spec.model_validate(settings)
    except ValidationError as error:
        settings_at = partial(_settings_at, spec)
        faults = [fault_of(detail, source, "overrides", settings_at) for detail in error.errors()]
        raise FaultyInputError(faults) from None


def build(spec: ModelSpec) -> nn.Module:
    """The network that `spec` describes, with fresh weights from torch's global generator."""
    if isinstance(spec, OwnModel):
        return _own(spec)
    network: nn.Module = family_module(spec.family).build(spec)
    return network


def _own(spec: OwnModel) -> nn.Module:
    """The network of a family of the user's own. Raises SklabError, with the last place in their file, for whatever it
    raises."""
    made = called(own("family", spec.family, spec.code), spec.code, **spec.settings)
    if not isinstance(made, nn.Module):
        raise SklabError(f"family {spec.family!r}: found {type(made).__name__}; allowed: a torch module")
    return made


def _settings_at(owner: type[Value], place: Place) -> tuple[str, ...]:
    """The keys that are allowed beside the one at `place`."""
    for step in place[:-1]:
        field = owner.model_fields.get(str(step))
        owner = (field and value_class(field.annotation)) or owner
    return tuple(owner.model_fields)


@dataclass(frozen=True)
class Cost:
    """`params`: learnable parameters, BN's scale and shift included.
    `macs`: multiply-accumulates of the convolutions and linear layers for one image (the paper's "FLOPs"). In a
    transformer's self-attention only the projections count, not the products of queries, keys and values.
    """

    params: int
    macs: int


@dataclass(frozen=True, order=True)
class Signature:
    """The properties of a convolution that decide which algorithm computes it. Pairs are (rows, columns); height and
    width are those of the input, in pixels.

    It describes the convolution as computed: on the CPU a `DecimatedConv2d` has stride 1, on the pixels that it reads.
    """

    in_channels: int
    out_channels: int
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    height: int
    width: int

    def __str__(self) -> str:
        kind = f"{_by(self.kernel)} convolution of {self.in_channels} to {self.out_channels} channels"
        settings = f"stride {_short(self.stride)}, dilation {_short(self.dilation)}, groups {self.groups}"
        return f"{kind}, {settings}, on {self.height}x{self.width} pixels"


def cost(spec: ModelSpec, image_size: int) -> Cost:
    """Parameters and multiply-accumulates of `spec` for one square image of `image_size` pixels a side."""
    return _trace(spec, image_size)[0]


def convolutions(spec: ModelSpec, image_size: int, device_type: str = "cpu") -> tuple[Signature, ...]:
    """The distinct convolutions of `spec` for square images of `image_size` pixels a side, as computed on a device of
    this type; sorted."""
    return tuple(sorted(_trace(spec, image_size, device_type)[1]))


def _trace(spec: ModelSpec, image_size: int, device_type: str = "cpu") -> tuple[Cost, set[Signature]]:
    with torch.device("meta"):
        model = build(spec).eval()
        if device_type == "cuda":
            make_strided(model)
        image = torch.empty(1, spec.in_channels, image_size, image_size)
    with torch.no_grad(), _Counter() as counter:
        _run(model, image, spec)
    params = sum(parameter.numel() for parameter in model.parameters())
    return Cost(params, counter.macs), counter.signatures


def make_strided(model: nn.Module) -> None:
    """Have `model` compute its convolutions as on CUDA: strided, where a `DecimatedConv2d` on the CPU leaves pixels out
    first. The outputs are the same."""
    for layer in model.modules():
        if isinstance(layer, DecimatedConv2d):
            layer.__class__ = nn.Conv2d  # type: ignore[assignment]  # its base


def _run(model: nn.Module, image: Tensor, spec: ModelSpec) -> None:
    """The forward pass. Raises SklabError if a network that is not sklab's can't take the image; other errors are
    bugs."""
    try:
        model(image)
    except Exception as error:  # whatever that network raises
        is_own = isinstance(spec, OwnModel)
        if not (is_own or spec.libraries):
            raise
        of = f"family {spec.family!r}" if is_own else spec.libraries[0]
        size = "x".join(map(str, image.shape[2:]))
        raise SklabError(f"{type(model).__name__} of {of} can't take images of {size} pixels: {error}") from error


class _Counter(TorchFunctionMode):
    """Counts the convolutions and linear layers that are called while this mode is active."""

    def __init__(self) -> None:
        super().__init__()
        self.macs = 0
        self.signatures: set[Signature] = set()

    def __torch_function__(
        self, func: Callable[..., Any], _types: Iterable[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _SHAPE_KEEPING:  # the meta device takes up to 0.8 ms to find the same shape
            return args[0]
        output = func(*args, **(kwargs or {}))
        if func in (F.conv1d, F.conv2d, F.linear):
            self.macs += output.numel() * _weight(*args, **(kwargs or {}))[0].numel()
        if func is F.multi_head_attention_forward:  # the mode does not see what it calls inside
            self.macs += _projections(*args, **(kwargs or {}))
        if func is F.conv2d:
            self.signatures.add(_signature(*args, **(kwargs or {})))
        return output


def _weight(input: Tensor, weight: Tensor, *_: Any, **__: Any) -> Tensor:  # noqa: ARG001 - named as torch names it
    return weight


def _projections(query: Tensor, *_: Any, **__: Any) -> int:
    """Multiply-accumulates of the query, key, value and output projections; widths and lengths are equal, as in ViT."""
    return 4 * query.numel() * query.shape[-1]


def _signature(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,  # noqa: ARG001
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Signature:
    channels, height, width = input.shape[-3:]
    out_channels, _, *kernel = weight.shape
    spacing = _pair(dilation)
    same_padding = tuple(d * (k - 1) // 2 for k, d in zip(kernel, spacing, strict=True))
    pads = _pair({"same": same_padding, "valid": 0}.get(padding, padding) if isinstance(padding, str) else padding)
    return Signature(channels, out_channels, _pair(kernel), _pair(stride), pads, spacing, groups, height, width)


def _pair(setting: Any) -> Pair:
    rows, columns = (setting, setting) if isinstance(setting, int) else setting
    return rows, columns


def _by(pair: Pair) -> str:
    return f"{pair[0]}x{pair[1]}"


def _short(pair: Pair) -> str:
    return str(pair[0]) if pair[0] == pair[1] else _by(pair)
