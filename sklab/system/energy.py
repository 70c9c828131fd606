"""The energy that this machine's counters count: NVML's of GPUs, RAPL's of processors (/sys/class/powercap).

Nothing is raised: where there is no counter, the reason is told.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sklab.system.nvidia import visible_entries

_RAPL = Path("/sys/class/powercap")
Read = Callable[[], Mapping[str, float]]  # joules so far, by counter


@dataclass
class EnergyMeter:
    """Counts from its making on. `read` gives the joules of each counter so far, `ranges` where it starts again from 0
    (missing: never). `look` at least once in every round of a counter: two rounds between looks can't be told from one.

    source  NVML or RAPL; "" where nothing is measured, and `why` not
    part    of what is counted that counts as joules
    """

    source: str
    why: str = ""
    read: Read = dict
    ranges: Mapping[str, float] = field(default_factory=dict)
    part: float = 1.0
    joules: float = 0.0
    _last: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._last = self._ask()

    def look(self) -> None:
        """Add what the counters have counted since the last look."""
        if not self.source:
            return
        now = self._ask()
        for name, value in now.items():
            passed = value - self._last.get(name, value)
            if passed < 0 and name not in self.ranges:
                self._give_up(f"the counter of {name} went back")
                return
            self.joules += self.part * (passed if passed >= 0 else passed + self.ranges[name])
        self._last = now

    def _ask(self) -> Mapping[str, float]:
        if not self.source:
            return {}
        try:
            return self.read()
        except Exception as error:  # NVML has errors of its own, and any driver may fail at any time
            self._give_up(str(error) or type(error).__name__)
            return {}

    def _give_up(self, why: str) -> None:
        self.source, self.why, self.joules = "", why, 0.0


def gpu_energy(devices: int) -> EnergyMeter:
    """The energy of the first `devices` GPUs that this process sees."""
    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
        handles = {entry: _handle(nvml, entry) for entry in visible_entries(devices)}
    except Exception as error:  # as in `_ask`
        return EnergyMeter("", f"NVML: {error or type(error).__name__}")
    if part := next((entry for entry in handles if entry.startswith("MIG-")), ""):
        return EnergyMeter("", f"NVML counts no energy of a part of a GPU ({part})")
    return EnergyMeter(
        "NVML",
        read=lambda: {
            entry: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3 for entry, handle in handles.items()
        },
    )


def _handle(nvml: Any, entry: str) -> Any:
    """NVML's handle of the GPU that CUDA_VISIBLE_DEVICES names so: by its number or its UUID, maybe cut short."""
    if entry.isdecimal():
        return nvml.nvmlDeviceGetHandleByIndex(int(entry))
    if entry.startswith("MIG-"):
        return None
    handles = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())]
    named = [handle for handle in handles if str(nvml.nvmlDeviceGetUUID(handle)).startswith(entry)]
    if len(named) != 1:
        raise ValueError(f"{entry} names {len(named)} GPUs")
    return named[0]


def cpu_energy(threads: int, folder: Path = _RAPL) -> EnergyMeter:
    """The part of the energy of this machine's processors that `threads` of their cores stand for: RAPL counts all
    that runs on them."""
    zones = sorted(zone for zone in folder.glob("intel-rapl:*") if zone.name.count(":") == 1)
    if not zones:
        return EnergyMeter("", "RAPL: this machine shows no counter")
    try:
        ranges = {zone.name: _micro(zone / "max_energy_range_uj") for zone in zones}
    except (OSError, ValueError) as error:
        return EnergyMeter("", f"RAPL: {getattr(error, 'strerror', None) or error}")
    part = min(1.0, threads / (os.cpu_count() or 1))
    read = partial(_read_zones, zones)
    return EnergyMeter("RAPL", read=read, ranges=ranges, part=part)


def _read_zones(zones: Sequence[Path]) -> dict[str, float]:
    return {zone.name: _micro(zone / "energy_uj") for zone in zones}


def _micro(file: Path) -> float:
    return int(file.read_text(encoding="ascii")) / 1e6
