"""What a network costs, read off a forward pass on the meta device: shapes only, no weights, no arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from sklab.models.zoo import build
from sklab.spec.model import ModelSpec

_KEEPING = (F.batch_norm, F.relu, F.hardtanh, Tensor.addcmul_, Tensor.softmax)  # hardtanh is ReLU6


@dataclass(frozen=True)
class Cost:
    """`params`: learnable parameters, BN's scale and shift included.
    `macs`: multiply-accumulates of the convolutions and linear layers for one image (the paper's "FLOPs").
    """

    params: int
    macs: int


@dataclass(frozen=True, order=True)
class Signature:
    """What decides which algorithm computes a (square) convolution; height and width are the input's, in pixels.

    As it is computed: a `DecimatedConv2d` shows itself with stride 1, on the pixels that it reads.
    """

    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    padding: int
    dilation: int
    groups: int
    height: int
    width: int

    def __str__(self) -> str:
        kind = f"{self.kernel}x{self.kernel} convolution of {self.in_channels} to {self.out_channels} channels"
        settings = f"stride {self.stride}, dilation {self.dilation}, groups {self.groups}"
        return f"{kind}, {settings}, on {self.height}x{self.width} pixels"


def cost(spec: ModelSpec, image_size: int) -> Cost:
    """Parameters and multiply-accumulates of `spec` for one square image of `image_size` pixels a side."""
    return _trace(spec, image_size)[0]


def convolutions(spec: ModelSpec, image_size: int) -> tuple[Signature, ...]:
    """The distinct convolutions of `spec` for square images of `image_size` pixels a side, sorted."""
    return tuple(sorted(_trace(spec, image_size)[1]))


def _trace(spec: ModelSpec, image_size: int) -> tuple[Cost, set[Signature]]:
    with torch.device("meta"):
        model = build(spec).eval()
        image = torch.empty(1, spec.in_channels, image_size, image_size)
    with torch.no_grad(), _Counter() as counter:
        model(image)
    params = sum(parameter.numel() for parameter in model.parameters())
    return Cost(params, counter.macs), counter.signatures


class _Counter(TorchFunctionMode):
    """Counts the convolutions and linear layers that are called while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.macs = 0
        self.signatures: set[Signature] = set()

    def __torch_function__(
        self, func: Callable[..., Any], _types: Iterable[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _KEEPING:  # the meta device takes up to 0.8 ms to find the same shape
            return args[0]
        output = func(*args, **(kwargs or {}))
        if func in (F.conv2d, F.linear):
            weight = args[1]
            self.macs += output.numel() * weight[0].numel()
        if func is F.conv2d:
            self.signatures.add(_signature(*args))
        return output


def _signature(
    image: Tensor, weight: Tensor, _bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> Signature:
    (_, channels, height, width), (out_channels, _, kernel, _) = image.shape, weight.shape
    square = (kernel, stride[0], padding[0], dilation[0])
    return Signature(channels, out_channels, *square, groups, height, width)
