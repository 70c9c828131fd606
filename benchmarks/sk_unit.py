"""One training step (forward and backward) of the SK convolution against the plain stack-multiply-sum.

The baseline computes the same function in the usual way, that of timm's `SelectiveKernel(split_input=False)`: stack the
branches, sum over them and pool, two 1x1 convolutions, softmax, multiply the stack, sum. Both share the branches'
layers and hold equal attention weights; their outputs are compared before anything is timed. On an idle machine:

    python benchmarks/sk_unit.py
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sklab.models.sk import SKConv2d
from sklab.spec.model import Branch, Mixing

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
ROUNDS = 11  # per case; the two sides take turns


class Case(NamedTuple):
    """A place in a network: batch size, channels, pixels a side, groups, dilations of the 3x3 branches, d."""

    name: str
    batch: int
    channels: int
    pixels: int
    groups: int
    dilations: tuple[int, ...]
    squeezed: int


CASES = [
    Case("SKNet-50 SK_2", 8, 128, 56, 32, (1, 2), 32),
    Case("SKNet-50 SK_3", 8, 256, 28, 32, (1, 2), 32),
    Case("SKNet-50 SK_4", 8, 512, 14, 32, (1, 2), 32),
    Case("SKNet-50 SK_5", 8, 1024, 7, 32, (1, 2), 64),
    Case("sknet_small SK_2", 64, 32, 16, 8, (1, 2), 8),
    Case("sknet_small SK_2, M = 3", 64, 32, 16, 8, (1, 2, 3), 8),
]


class StackedSK(nn.Module):
    """The baseline, around the branches of `sk`."""

    def __init__(self, sk: SKConv2d) -> None:
        super().__init__()
        assert sk.attention is not None
        squeeze, expand = sk.attention.squeeze[0], sk.attention.expand
        self.paths = sk.branches
        self.fc1 = nn.Conv2d(squeeze.in_features, squeeze.out_features, 1, bias=False)
        self.norm = nn.BatchNorm2d(squeeze.out_features)
        self.fc2 = nn.Conv2d(expand.in_features, expand.out_features, 1, bias=False)
        with torch.no_grad():
            self.fc1.weight.copy_(squeeze.weight[..., None, None])
            self.fc2.weight.copy_(expand.weight[..., None, None])

    def forward(self, x: Tensor) -> Tensor:
        stacked = torch.stack([path(x) for path in self.paths], dim=1)
        pooled = stacked.sum(1).mean((2, 3), keepdim=True)
        logits = self.fc2(self.norm(self.fc1(pooled)).relu())
        weights = logits.view(len(x), len(self.paths), -1, 1, 1).softmax(dim=1)
        return (stacked * weights).sum(dim=1)


def steps(case: Case, layout: torch.memory_format) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """Our step and the baseline's, each returning its output."""
    torch.manual_seed(0)
    branches = [Branch(kernel=3, dilation=dilation, groups=case.groups) for dilation in case.dilations]
    ours = SKConv2d(case.channels, case.channels, branches, mixing=Mixing(squeezed=case.squeezed))
    theirs = StackedSK(ours)
    shape = (case.batch, case.channels, case.pixels, case.pixels)
    x, slope = (torch.randn(shape).to(memory_format=layout) for _ in range(2))

    def stepper(module: nn.Module) -> Callable[[], Tensor]:
        module.to(memory_format=layout)

        def step() -> Tensor:
            module.zero_grad()
            output: Tensor = module(x.detach().requires_grad_())
            output.backward(slope)
            return output.detach()

        return step

    return stepper(ours), stepper(theirs)


def seconds(step: Callable[[], Tensor], repeats: int) -> float:
    begin = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - begin) / repeats


def measure(case: Case, layout: torch.memory_format) -> tuple[float, float]:
    """Milliseconds of our step and of the baseline's, each the fastest of its rounds: other work only ever adds."""
    ours, theirs = steps(case, layout)
    torch.testing.assert_close(ours(), theirs(), rtol=1e-4, atol=1e-4)
    repeats = max(1, int(0.05 / seconds(theirs, 3)))
    rounds = [(seconds(ours, repeats), seconds(theirs, repeats)) for _ in range(ROUNDS)]
    mine, other = (min(column) * 1e3 for column in zip(*rounds, strict=True))
    return mine, other


def main() -> None:
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, fp32, fastest of {ROUNDS} rounds\n")
    print("| unit | threads | memory format | ours, ms | stack, ms | stack / ours |\n|---|---|---|---|---|---|")
    for case, threads, layout in itertools.product(CASES, (1, 2), LAYOUTS):
        torch.set_num_threads(threads)
        ours, theirs = measure(case, LAYOUTS[layout])
        print(f"| {case.name} | {threads} | {layout} | {ours:.2f} | {theirs:.2f} | {theirs / ours:.2f} |", flush=True)


if __name__ == "__main__":
    main()
