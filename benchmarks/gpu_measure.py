"""What the sections of gpu.py measure with."""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeVar

import torch

Row = dict[str, Any]  # "case", and numbers by the names of their columns; or "note" or "error" where there are none
Of = TypeVar("Of")
NEEDS_CUDA = "needs CUDA"
_BLOCK = 0.05  # seconds between two waits for the device: so a wait costs nothing, and launches overlap as in training


@dataclass(frozen=True)
class Bench:
    """The device that is measured. `tiny`: sizes are cut until the numbers say nothing, to try the script itself."""

    device: torch.device
    tiny: bool

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    def size(self, full: Of, tiny: Of) -> Of:
        return tiny if self.tiny else full

    def synchronize(self) -> None:
        """Wait until the device has done all that it was given."""
        if self.is_cuda:
            torch.cuda.synchronize(self.device)

    def ms(self, work: Callable[[], object]) -> float:
        """The median time of a call, over blocks of calls without a wait between them."""
        for _ in range(self.size(3, 1)):
            work()
        calls = self.size(max(1, min(1000, int(_BLOCK / self._seconds(work, 1)))), 1)
        return 1000 * median(self._seconds(work, calls) / calls for _ in range(self.size(5, 2)))

    def _seconds(self, work: Callable[[], object], calls: int) -> float:
        self.synchronize()
        began = time.perf_counter()
        for _ in range(calls):
            work()
        self.synchronize()
        return time.perf_counter() - began


def attempt(case: str, measure: Callable[..., Row], *arguments: Any) -> Row:
    """The row of a case, with its error where it fails; what it held of the device's memory is free again."""
    try:
        return {"case": case, **measure(*arguments)}
    except Exception as error:  # a case takes no other with it
        traceback.print_exc()
        return {"case": case, "error": one_line(error)}
    finally:
        gc.collect()
        torch.cuda.empty_cache()  # does nothing where CUDA has not started


def one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def copy_rate(bench: Bench) -> float:
    """Bytes a second that a large copy from the device's memory to itself moves: what it reads and what it writes."""
    source = torch.ones(bench.size(2**31, 2**24), dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    return 2 * source.numel() / (bench.ms(lambda: target.copy_(source)) / 1000)


@contextmanager
def cudnn_benchmark() -> Iterator[None]:
    """cuDNN tries its algorithms for each shape and takes the fastest."""
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = False
