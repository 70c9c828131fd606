"""Finds how many runs share a GPU from the first run, which has one to itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from pathlib import Path
from statistics import fmean

from sklab.errors import SklabError
from sklab.launch.local.gpus import gigabytes
from sklab.launch.slots import Slot
from sklab.store.run_folder import RunFolder
from sklab.system.nvidia import GpuUse, look_at_gpus

_EVERY = 2.0  # seconds between two looks at the GPU, each of which costs a start of nvidia-smi
_LOOKS = 5  # at least, before anything is decided
_RESERVE = 0.1  # of a GPU's memory: other cells may take more than the first
_MOST = 8


class Packing:
    """Measures the first run that starts on the GPUs of `slots` (one slot each) while these have one run at a time.

    Peak memory is known once an epoch is over, or the run. A run that ends too early for enough looks is followed by
    the next. Each decision is printed in a line.
    Raises SklabError when nvidia-smi does not show memory and use of a GPU.
    """

    def __init__(
        self,
        slots: tuple[Slot, ...],
        tell: Callable[[str], None],
        look: Callable[[], tuple[GpuUse, ...]] = look_at_gpus,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell, self._see, self._clock, self._last = tell, look, clock, clock()
        before = [gpu for gpu in look() if gpu.gpu in {slot.gpu for slot in slots}]
        self._held = {gpu.gpu: gpu.used_mb or 0.0 for gpu in before}
        self._room = min(((1 - _RESERVE) * (gpu.total_mb or 0.0) - self._held[gpu.gpu] for gpu in before), default=0.0)
        self._total = min((gpu.total_mb or 0.0 for gpu in before), default=0.0)
        self._cores = min(slot.threads for slot in slots)
        self._run: tuple[RunFolder, str] | None = None
        self._busy: list[float] = []
        self._peak = 0.0
        if not before or any(None in (gpu.used_mb, gpu.total_mb, gpu.busy) for gpu in before):
            raise SklabError(
                "--per-gpu: found auto, but nvidia-smi tells no memory or use of these GPUs; state a number"
            )

    def begin(self, folder: Path, slot: Slot) -> None:
        """A run starts on `slot`; it is measured unless another one is."""
        if self._run is None and slot.gpu is not None:
            self._run = RunFolder(folder), slot.gpu

    def look(self, ended: Container[Path]) -> int | None:
        """The number of runs that a GPU takes; None while it is unknown. To be called about once a second; `ended`
        are the runs that have ended since."""
        if self._run is None:
            return None
        run, gpu = self._run
        over = run.path in ended
        pulse = None if over else run.read_pulse()
        if pulse and self._clock() - self._last >= _EVERY:
            self._measure(gpu, pulse.peak_memory_mb)
        if over:
            self._run = None
        known = over or (pulse is not None and pulse.epoch > 1)
        return self._decide() if known and len(self._busy) >= _LOOKS else None

    def _measure(self, gpu: str, allocated_mb: float) -> None:
        """Note the larger of what the run has allocated and what the GPU holds, which includes CUDA itself."""
        self._last = self._clock()
        for seen in self._see():
            if seen.gpu == gpu and seen.used_mb is not None and seen.busy is not None:
                self._peak = max(self._peak, allocated_mb, seen.used_mb - self._held[gpu])
                self._busy.append(seen.busy)

    def _decide(self) -> int:
        busy, peak = max(fmean(self._busy), 1.0), max(self._peak, 1.0)
        by_memory, by_use, most = int(self._room / peak), round(100 / busy), min(_MOST, self._cores)
        count = max(1, min(by_memory, by_use, most))
        self._tell(
            f"--per-gpu auto: {count} at a time on each GPU: the first run took {gigabytes(peak)} of "
            f"{gigabytes(self._total)} GB (room for {by_memory}) and kept it {busy:.0f} % busy ({by_use} fill it); "
            f"at most {most}"
        )
        return count
