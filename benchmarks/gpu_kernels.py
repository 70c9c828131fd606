"""Sections of gpu.py: the rate of copying, the SK unit against it, the grouped convolutions of SKNet-50."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from gpu_measure import NEEDS_CUDA, Bench, Row, attempt, copy_rate, cudnn_benchmark
from networks import BRANCHES
from torch import Tensor, nn

from sklab.models.compiled import compiled
from sklab.models.sk import SKConv2d
from sklab.models.zoo import Signature, convolutions
from sklab.spec.model import Mixing
from sklab.spec.networks import network

BATCH = 256
STAGES = {"SK_2": (128, 56, 3), "SK_3": (256, 28, 4), "SK_4": (512, 14, 6), "SK_5": (1024, 7, 3)}  # C, pixels, units


def copy(bench: Bench) -> Iterator[Row]:
    yield attempt("large copy on the device", lambda: {"GB/s": copy_rate(bench) / 1e9})


def unit(bench: Bench) -> Iterator[Row]:
    """Fuse and Select of two branches, whose outputs are given."""
    rate, rows = copy_rate(bench), list[tuple[int, str, Row]]()
    stages = dict(list(STAGES.items())[: bench.size(4, 1)])
    for stage, (channels, pixels, units) in stages.items():
        features, slope = _features(bench, channels, pixels)
        floor = 1000 * _passes(len(features)) * features[0].nbytes / rate
        for how in ("eager", "compiled"):
            rows.append((units, how, attempt(f"{stage}, {how}", _unit, bench, features, slope, how, floor)))
            yield rows[-1][-1]
    for how in ("eager", "compiled"):
        measured = [(units, row) for units, mode, row in rows if mode == how and "ms" in row]
        if len(measured) == len(stages):
            ms, floor = (sum(units * row[name] for units, row in measured) for name in ("ms", "floor, ms"))
            yield {"case": f"{sum(units for units, _ in measured)} units, {how}", **_of_floor(ms, floor)}


def _passes(branches: int) -> int:
    """How often Fuse and Select must read or write a tensor of full size.

    Forward: read each branch for the averages, and again to weight it; write the output. Backward: the gradients of the
    weights read the output's gradient and each branch; after them the gradient is read again, and that of each branch
    written.
    """
    return (2 * branches + 1) + (1 + branches) + (1 + branches)


def _of_floor(ms: float, floor: float) -> Row:
    return {"ms": ms, "floor, ms": floor, "times the floor": ms / floor}


class _Given(nn.Module):
    """In the place of a branch: its output is already there."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self._place = place

    def forward(self, features: list[Tensor]) -> Tensor:
        return features[self._place]


def _features(bench: Bench, channels: int, pixels: int) -> tuple[list[Tensor], Tensor]:
    shape = (bench.size(BATCH, 2), channels, bench.size(pixels, 8), bench.size(pixels, 8))
    made = [
        torch.randn(shape, device=bench.device, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
        for _ in range(len(BRANCHES) + 1)
    ]
    return [each.requires_grad_() for each in made[:-1]], made[-1]


def _unit(bench: Bench, features: list[Tensor], slope: Tensor, how: str, floor: float) -> Row:
    channels = features[0].shape[1]
    sk = SKConv2d(channels, channels, BRANCHES, mixing=Mixing(squeezed=max(channels // 16, 32))).to(bench.device)
    sk.branches = nn.ModuleList(_Given(place) for place in range(len(features)))
    torch._dynamo.reset()  # the shapes of one stage are no hint for the next
    forward: Callable[..., Tensor] = compiled(sk) if how == "compiled" else sk
    inputs = [*features, *sk.parameters()]

    def step() -> None:
        with torch.autocast(bench.device.type, torch.bfloat16):
            output = forward(features)
        torch.autograd.grad(output, inputs, slope)

    return _of_floor(bench.ms(step), floor)


def grouped(bench: Bench) -> Iterator[Row]:
    """Forward and backward pass of each grouped convolution of SKNet-50, in bf16."""
    rate = copy_rate(bench)
    for shape in convolutions(network("sknet50"), bench.size(224, 32), "cuda"):
        if shape.groups > 1:
            yield attempt(str(shape), _grouped, bench, shape, rate)


def _grouped(bench: Bench, shape: Signature, rate: float) -> Row:
    """The floor reads and writes images and outputs once in each of three products: forward and two gradients."""
    bytes_moved = 2 * 3 * bench.size(BATCH, 2) * _elements(shape)
    row = _of_floor(_convolution_ms(bench, shape, torch.channels_last), 1000 * bytes_moved / rate)
    row["contiguous, ms"] = _convolution_ms(bench, shape, torch.contiguous_format)
    if bench.is_cuda:
        with cudnn_benchmark():
            row["cudnn.benchmark, ms"] = _convolution_ms(bench, shape, torch.channels_last)
    else:
        row["cudnn.benchmark, ms"] = NEEDS_CUDA
    if shape.stride[0] > 1 and shape.dilation[0] % shape.stride[0] == 0:
        row["decimated, ms"] = _convolution_ms(bench, shape, torch.channels_last, decimated=True)
    return row


def _elements(shape: Signature) -> float:
    """Of an image and its output together."""
    pixels = shape.height * shape.width
    return shape.in_channels * pixels + shape.out_channels * pixels / (shape.stride[0] * shape.stride[1])


def _convolution_ms(bench: Bench, shape: Signature, layout: torch.memory_format, *, decimated: bool = False) -> float:
    def made(*size: int) -> Tensor:
        tensor = torch.randn(size, device=bench.device, dtype=torch.bfloat16)
        return tensor.contiguous(memory_format=layout).requires_grad_()

    images = made(bench.size(BATCH, 2), shape.in_channels, shape.height, shape.width)
    weight = made(shape.out_channels, shape.in_channels // shape.groups, *shape.kernel)
    every = shape.stride[0] if decimated else 1
    stride, padding, dilation = (
        (each[0] // divisor, each[1] // divisor)
        for each, divisor in ((shape.stride, every), (shape.padding, every), (shape.dilation, every))
    )

    def forward() -> Tensor:
        return F.conv2d(images[..., ::every, ::every], weight, None, stride, padding, dilation, shape.groups)

    slope = torch.ones_like(forward())
    return bench.ms(lambda: torch.autograd.grad(forward(), [images, weight], slope))
