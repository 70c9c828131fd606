"""What a run says of itself while it trains."""

from __future__ import annotations

from pydantic import Field

from sklab.spec.values import Value

PULSE_FILE = "pulse.json"


class Pulse(Value):
    """`pulse.json`: written anew every few seconds while a run trains, and taken away when it has ended.

    step, steps         batches of the epoch that are done, and how many it has
    samples_per_second  training images per second since the pulse before; 0 for the first one
    device_name         of the device, or of the first of several
    peak_memory_mb      so far, of the process (CPU) or of the device (GPU), in 10^6 bytes
    """

    host: str
    device_name: str
    epoch: int = Field(ge=1)
    step: int = Field(ge=0)
    steps: int = Field(ge=1)
    samples_per_second: float
    peak_memory_mb: float
