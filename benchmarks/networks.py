"""Training steps of the SK unit and of SKNet-50 against timm's `skresnext50_32x4d` and pytorchcv's `sknet50`.

All three networks have 27,479,784 parameters. They take turns in one process: other work on the
machine meets them alike.
The peers are measured where they import; they are no dependencies.

    OMP_WAIT_POLICY=PASSIVE .venv/bin/python benchmarks/networks.py

Threads that wait asleep, as this asks, keep waiting for a busy core out of the processor time.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Mapping
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklab.models.sk import SKConv2d
from sklab.models.zoo import create_model
from sklab.spec.model import Branch, Mixing

THREADS, BATCH, SIZE, SEED = 2, 8, 224, 0
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
UNIT = (128, 56)  # channels and pixels a side of SKNet-50's first stage
BRANCHES = [Branch(kernel=3, groups=32), Branch(kernel=3, dilation=2, groups=32)]
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "sklab": lambda: create_model("sknet50"),
    "timm": lambda: importlib.import_module("timm").create_model("skresnext50_32x4d"),
    "pytorchcv": lambda: importlib.import_module("pytorchcv.models.sknet").sknet50(),
}
UNITS: dict[str, Callable[[], nn.Module]] = {
    "sklab": lambda: SKConv2d(UNIT[0], UNIT[0], BRANCHES, mixing=Mixing(squeezed=32)),
    "timm": lambda: importlib.import_module("timm.layers").SelectiveKernel(
        UNIT[0], groups=32, rd_ratio=1 / 16, rd_divisor=32
    ),
    "pytorchcv": lambda: importlib.import_module("pytorchcv.models.sknet").SKConvBlock(UNIT[0], UNIT[0], stride=1),
}


def importable(makers: Mapping[str, Callable[[], nn.Module]]) -> dict[str, nn.Module]:
    made = {}
    for library, make in makers.items():
        torch.manual_seed(SEED)
        try:
            made[library] = make()
        except (ImportError, RuntimeError) as error:
            print(f"{library} does not import here ({error})", file=sys.stderr)
    return made


def network_step(model: nn.Module, layout: torch.memory_format) -> Callable[[], None]:
    """One step of SGD on a fixed batch."""
    image = torch.randn(BATCH, 3, SIZE, SIZE).contiguous(memory_format=layout)
    labels = torch.arange(BATCH)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        optimiser.zero_grad()
        F.cross_entropy(model(image), labels).backward()
        optimiser.step()

    return step


def unit_step(model: nn.Module, layout: torch.memory_format) -> Callable[[], None]:
    """Forward and backward pass, the gradient of the input included."""
    channels, size = UNIT
    image = torch.randn(BATCH, channels, size, size).contiguous(memory_format=layout).requires_grad_()
    slope = torch.randn(BATCH, channels, size, size).contiguous(memory_format=layout)

    def step() -> None:
        output: Tensor = model(image)
        output.backward(slope)

    return step


def measure(steps: Mapping[str, Callable[[], None]], repeats: int) -> dict[str, tuple[list[float], list[float]]]:
    """Wall and processor seconds of every step, taking turns, after one turn for warming up."""
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in steps}
    for turn in range(repeats + 1):
        for name, step in steps.items():
            wall, processor = time.perf_counter(), time.process_time()
            step()
            if turn:
                times[name][0].append(time.perf_counter() - wall)
                times[name][1].append(time.process_time() - processor)
    return times


def table(title: str, models: Mapping[str, nn.Module], step: Callable[..., Callable[[], None]], repeats: int) -> None:
    """One row per library and memory format; a ratio is the median of the ratios within a turn."""
    print(f"\n{title}: {repeats} turns\n")
    print("| library | memory format | wall, best | wall, median | processor, median | wall ratio | processor ratio |")
    print("| :-- | :-- | --: | --: | --: | --: | --: |")
    for layout, memory_format in LAYOUTS.items():
        steps = {name: step(model.to(memory_format=memory_format), memory_format) for name, model in models.items()}
        times = measure(steps, repeats)
        for name, (wall, processor) in times.items():
            seconds = " | ".join(f"{1000 * each:.0f} ms" for each in (min(wall), median(wall), median(processor)))
            ratios = " | ".join(
                f"{ratio(theirs, ours):.2f}" for theirs, ours in zip(times[name], times["sklab"], strict=True)
            )
            print(f"| {name} | {layout} | {seconds} | {ratios} |", flush=True)


def ratio(theirs: list[float], ours: list[float]) -> float:
    return median(their / our for their, our in zip(theirs, ours, strict=True))


def main() -> None:
    torch.set_num_threads(THREADS)
    print(f"torch {torch.__version__}, {THREADS} threads, batch {BATCH}, fp32")
    channels, size = UNIT
    table(f"SK unit, {channels} channels, {size}x{size} pixels", importable(UNITS), unit_step, repeats=5)
    table(f"Network, training step, {SIZE}x{SIZE} pixels", importable(NETWORKS), network_step, repeats=2)


if __name__ == "__main__":
    main()
