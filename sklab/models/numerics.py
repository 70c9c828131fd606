"""Check this machine's convolutions: forward pass and both gradients against float64.

torch 2.13 on CPUs with AVX-512 silently returns wrong weight gradients for grouped convolutions with dilation >= 2
and stride 1 in bf16 with channels_last, from 29x29 pixels up: SKNet's second branch. A network trained so gives a false
row in a table. So every distinct convolution is tried once before a sweep trains anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sklab.models.zoo import Signature, convolutions
from sklab.spec.model import ModelSpec

Dtype = Literal["fp32", "bf16", "fp16"]
MemoryFormat = Literal["contiguous", "channels_last"]

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
# The dtypes that autocast computes in; fp32 runs without autocast.
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}

# The inputs are bf16 numbers, exact in every dtype, and sums are accumulated in fp32 at least. So bf16 differs from
# float64 by the rounding of its results: 2^-9 at most (0.0019 measured, 0.004 with oneDNN held to AVX2), fp16 by 2^-12
# (0.0006 measured), and fp32, also with TF32 products, by the accumulated rounding of its sums (2e-6 measured). The
# tolerances leave room for other algorithms, such as Winograd's; a wrong gradient is off by about 1.
TOLERANCES: dict[Dtype, float] = {"fp32": 1e-4, "bf16": 2e-2, "fp16": 5e-3}

_BATCH = 2  # the fault above is the same at batches of 2, 8, 16 and 32
# A kernel that reads memory before it is written may find the right numbers of an earlier call there.
_REPEATS = 2


@dataclass(frozen=True)
class Verdict:
    """How far a convolution is from float64: relative L2 errors, the largest of all tries (NaN if any try gave NaN)."""

    signature: Signature
    dtype: Dtype
    memory_format: MemoryFormat
    device: str
    forward_error: float
    weight_grad_error: float
    input_grad_error: float

    @property
    def ok(self) -> bool:
        """Whether all three errors are within the dtype's tolerance."""
        errors = (self.forward_error, self.weight_grad_error, self.input_grad_error)
        return all(error <= TOLERANCES[self.dtype] for error in errors)

    def __str__(self) -> str:
        errors = (
            f"output {self.forward_error:.2g}, weight gradient {self.weight_grad_error:.2g}, "
            f"input gradient {self.input_grad_error:.2g}"
        )
        setting = f"{self.dtype} {self.memory_format} on {self.device}"
        verdict = "right" if self.ok else "WRONG"
        return (
            f"{verdict} in {setting}: {self.signature}; relative errors: {errors}; tolerated {TOLERANCES[self.dtype]:g}"
        )


def check(
    specs: Iterable[tuple[ModelSpec, int]], dtype: Dtype, memory_format: MemoryFormat, device: str
) -> list[Verdict]:
    """A verdict for every distinct convolution of these networks at these image sizes (pixels a side)."""
    kind = torch.device(device).type
    signatures = {signature for spec, image_size in specs for signature in convolutions(spec, image_size, kind)}
    return [check_convolution(signature, dtype, memory_format, device) for signature in sorted(signatures)]


def check_convolution(signature: Signature, dtype: Dtype, memory_format: MemoryFormat, device: str) -> Verdict:
    """Run one convolution forward and backward as training does, and compare it with float64 on the CPU."""
    expected = _pass(signature, torch.float64, torch.contiguous_format, "cpu")
    layout, worst = LAYOUTS[memory_format], torch.zeros(3, dtype=torch.float64)
    for _ in range(_REPEATS):
        with torch.autocast(torch.device(device).type, AUTOCAST.get(dtype), enabled=dtype in AUTOCAST):
            computed = _pass(signature, torch.float32, layout, device)
        worst = worst.maximum(
            torch.stack([_error(*pair) for pair in zip(computed, expected, strict=True)])
        )  # keeps NaN
    return Verdict(signature, dtype, memory_format, device, *worst.tolist())


def _pass(signature: Signature, dtype: torch.dtype, layout: torch.memory_format, device: str) -> list[Tensor]:
    """Output, weight gradient and input gradient, in float64 on the CPU; the inputs are seeded."""

    def draw(seed: int, *shape: int) -> Tensor:
        numbers = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
        return numbers.bfloat16().to(device, dtype).contiguous(memory_format=layout)

    kernel, groups = signature.kernel, signature.groups
    image = draw(0, _BATCH, signature.in_channels, signature.height, signature.width).requires_grad_()
    weight = draw(1, signature.out_channels, signature.in_channels // groups, *kernel).requires_grad_()
    output = F.conv2d(image, weight, None, signature.stride, signature.padding, signature.dilation, groups)
    gradients = torch.autograd.grad(output, (weight, image), draw(2, *output.shape).to(output.dtype))
    return [tensor.detach().to("cpu", torch.float64) for tensor in (output, *gradients)]


def _error(computed: Tensor, expected: Tensor) -> Tensor:
    error: Tensor = (computed - expected).norm() / expected.norm()
    return error
