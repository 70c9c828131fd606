"""What a probe is asked and answers: what a run will cost, from a few of its steps."""

from __future__ import annotations

from pydantic import Field

from sklab.spec.run import Experiment
from sklab.spec.values import Value


class ProbeOrder(Value):
    """`probe.json`: train a few steps of this experiment, keep nothing."""

    experiment: Experiment


class Probe(Value):
    """`result.json`: what the steps took, on one device.

    steps, val_steps  batches of an epoch's training and of its validation
    step_seconds      of one training batch with its loading, after warm-up; `val_step_seconds` of one of validation
    setup_seconds     from the start to the end of the warm-up: data, network, first steps
    peak_memory_mb    of the process (CPU) or of the device (GPU), in 10^6 bytes
    fault             why there is nothing of all that; "" where there is
    """

    epochs: int = 0
    steps: int = 0
    val_steps: int = 0
    step_seconds: float = Field(default=0.0, ge=0)
    val_step_seconds: float = Field(default=0.0, ge=0)
    setup_seconds: float = Field(default=0.0, ge=0)
    peak_memory_mb: float = 0.0
    fault: str = ""

    @property
    def run_seconds(self) -> float:
        """What the whole run is expected to take."""
        epoch = self.steps * self.step_seconds + self.val_steps * self.val_step_seconds
        return self.setup_seconds + self.epochs * epoch
