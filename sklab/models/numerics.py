"""Check this machine's convolutions: forward pass and both gradients against float64.

torch 2.13 on CPUs with AVX-512 silently returns wrong weight gradients for grouped convolutions with dilation >= 2
and stride 1 in bf16 with channels_last, from 29x29 pixels up: SKNet's second branch. A network trained so gives a false
row in a table. So every distinct convolution is tried once before a sweep trains anything. The libraries of a GPU
choose their algorithm by the size of the batch, so there it is tried with the batches of the training itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklab.models.zoo import Signature, convolutions
from sklab.spec.model import ModelSpec

Dtype = Literal["fp32", "bf16", "fp16"]
MemoryFormat = Literal["contiguous", "channels_last"]

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
# The dtypes that autocast computes in; fp32 runs without autocast.
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}

# The inputs are bf16 numbers, exact in every dtype, and sums are accumulated in fp32 at least. So bf16 differs from
# float64 by the rounding of its results: 2^-9 at most (0.0019 measured, 0.004 with oneDNN held to AVX2), fp16 by 2^-12
# (0.0006 measured), and fp32 by the accumulated rounding of its sums (2e-6 measured). The tolerances leave room for
# other algorithms, such as Winograd's; a wrong gradient is off by about 1. TF32 has fp16's 10 bits of mantissa, and an
# algorithm that rounds to them on the way is off by as much.
TOLERANCES: dict[Dtype, float] = {"fp32": 1e-4, "bf16": 2e-2, "fp16": 5e-3}
_TF32 = 5e-3

LEAST_BATCH = 2  # on the CPU the fault above is the same at batches of 2, 8, 16 and 32
_SLICE = 16  # images that float64 computes at a time: all of a large batch need several times the training's memory
# A kernel that reads memory before it is written may find the right numbers of an earlier call there.
_REPEATS = 2


def placed(network: nn.Module, memory_format: MemoryFormat, device: torch.device) -> nn.Module:
    """`network` itself, on `device` and with its weights in this layout."""
    return network.to(device).to(memory_format=LAYOUTS[memory_format])  # type: ignore[call-overload, no-any-return]  # not in its stub


@dataclass(frozen=True)
class Verdict:
    """How far a convolution of `batch` images is from float64: relative L2 errors, the largest of all tries and slices
    of the batch (NaN if any gave NaN); and how far it may be."""

    signature: Signature
    dtype: Dtype
    memory_format: MemoryFormat
    device: str
    forward_error: float
    weight_grad_error: float
    input_grad_error: float
    batch: int
    tolerated: float

    @property
    def ok(self) -> bool:
        """Whether all three errors are tolerated."""
        errors = (self.forward_error, self.weight_grad_error, self.input_grad_error)
        return all(error <= self.tolerated for error in errors)

    def __str__(self) -> str:
        errors = (
            f"output {self.forward_error:.2g}, weight gradient {self.weight_grad_error:.2g}, "
            f"input gradient {self.input_grad_error:.2g}"
        )
        setting = f"{self.dtype} {self.memory_format} on {self.device}, batch {self.batch}"
        verdict = "right" if self.ok else "WRONG"
        return f"{verdict} in {setting}: {self.signature}; relative errors: {errors}; tolerated {self.tolerated:g}"


def check(
    specs: Iterable[tuple[ModelSpec, int]],
    dtype: Dtype,
    memory_format: MemoryFormat,
    device: str,
    batch: int = LEAST_BATCH,
) -> list[Verdict]:
    """A verdict for every distinct convolution of these networks at these image sizes (pixels a side)."""
    kind = torch.device(device).type
    signatures = {signature for spec, image_size in specs for signature in convolutions(spec, image_size, kind)}
    return [check_convolution(signature, dtype, memory_format, device, batch) for signature in sorted(signatures)]


def check_convolution(
    signature: Signature, dtype: Dtype, memory_format: MemoryFormat, device: str, batch: int = LEAST_BATCH
) -> Verdict:
    """Run one convolution forward and backward as training does, and compare it with float64 on the same device.

    A batch that does not fit into the GPU's memory is halved until it does: a run does the same.
    """
    while True:
        try:
            output, weight, image = _errors(signature, dtype, LAYOUTS[memory_format], device, batch)
        except torch.OutOfMemoryError:
            if batch == LEAST_BATCH:
                raise
        else:
            tolerated = _tolerated(dtype, device)
            return Verdict(signature, dtype, memory_format, device, output, weight, image, batch, tolerated)
        batch = max(LEAST_BATCH, batch // 2)


def _tolerated(dtype: Dtype, device: str) -> float:
    tf32: bool = torch.backends.cudnn.conv.fp32_precision == "tf32"  # type: ignore[attr-defined]  # not in its stub
    return _TF32 if dtype == "fp32" and torch.device(device).type == "cuda" and tf32 else TOLERANCES[dtype]


def _errors(signature: Signature, dtype: Dtype, layout: torch.memory_format, device: str, batch: int) -> list[float]:
    """The largest relative errors of output, weight gradient and input gradient."""
    operands = _operands(signature, device, batch)
    tries = []
    for _ in range(_REPEATS):
        with torch.autocast(torch.device(device).type, AUTOCAST.get(dtype), enabled=dtype in AUTOCAST):
            tries.append(_pass(signature, *(operand.float().contiguous(memory_format=layout) for operand in operands)))
    image, weight, slope = operands
    weight_grad, worst = torch.zeros_like(weight, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    for start in range(0, batch, _SLICE):
        part = slice(start, start + _SLICE)
        output, of_weight, of_image = _pass(signature, image[part].double(), weight.double(), slope[part].double())
        weight_grad += of_weight
        for computed in tries:
            pairs = ((computed[0][part], output), (computed[2][part], of_image))
            worst[[0, 2]] = worst[[0, 2]].maximum(torch.stack([_error(*pair) for pair in pairs]))  # keeps NaN
    for computed in tries:
        worst[1] = worst[1].maximum(_error(computed[1], weight_grad))
    errors: list[float] = worst.tolist()
    return errors


def _operands(signature: Signature, device: str, batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Seeded image, weight and gradient of the output, in bf16."""

    def draw(seed: int, *shape: int) -> Tensor:
        generator = torch.Generator(device).manual_seed(seed)
        return torch.randn(*shape, generator=generator, device=device).bfloat16()

    image = draw(0, batch, signature.in_channels, signature.height, signature.width)
    weight = draw(1, signature.out_channels, signature.in_channels // signature.groups, *signature.kernel)
    shape = _convolved(signature, *(operand.to("meta", torch.float64) for operand in (image, weight))).shape
    return image, weight, draw(2, *shape)


def _pass(signature: Signature, image: Tensor, weight: Tensor, slope: Tensor) -> list[Tensor]:
    """Output, weight gradient and input gradient."""
    output = _convolved(signature, image.requires_grad_(), weight.requires_grad_())
    gradients = torch.autograd.grad(output, (weight, image), slope.to(output.dtype))
    return [tensor.detach() for tensor in (output, *gradients)]


def _convolved(signature: Signature, image: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(image, weight, None, signature.stride, signature.padding, signature.dilation, signature.groups)


def _error(computed: Tensor, expected: Tensor) -> Tensor:
    error: Tensor = (computed.double() - expected).norm() / expected.norm()
    return error.cpu()
