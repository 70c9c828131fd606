"""Build every network of the zoo on the meta device and count it, against one start of torch.

.venv/bin/python benchmarks/zoo.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

from sklab.models.zoo import cost
from sklab.spec.networks import SETTINGS, image_size, network

REPEATS = 5


def count_all() -> None:
    for name in SETTINGS:
        cost(network(name), image_size(name))


def start_torch() -> None:
    subprocess.run([sys.executable, "-c", "import torch"], check=True)


def seconds(call: Callable[[], None]) -> tuple[float, float]:
    """Wall and processor time of a call, its child processes included."""
    wall, used = time.perf_counter(), sum(os.times()[:4])
    call()
    return time.perf_counter() - wall, sum(os.times()[:4]) - used


def main() -> None:
    count_all()  # the first time imports the rest of torch
    pairs = [(seconds(count_all), seconds(start_torch)) for _ in range(REPEATS)]
    for at, clock in enumerate(("wall", "processor")):
        counted, started = (min(times[at] for times in column) for column in zip(*pairs, strict=True))
        print(f"{clock}: {len(SETTINGS)} networks {counted:.2f} s, import torch {started:.2f} s", end="; ")
        print(f"ratio {counted / started:.2f}")


if __name__ == "__main__":
    main()
