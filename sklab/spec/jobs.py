"""Orders and results of the short jobs before a sweep, and the progress that a run reports while it trains.

All of them are values that pass between processes in files.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sklab.spec.data import Inventory
from sklab.spec.own.parts import AnyData, AnyModel
from sklab.spec.run import Experiment
from sklab.spec.train import TrainSpec
from sklab.spec.values import Seq, Value

PULSE_FILE = "pulse.json"


class Checked(Value):
    """A network at an input size, computed as in its training: number format, images of a batch on one device, and
    whether a GPU is deterministic."""

    model: AnyModel
    image_size: int
    precision: Literal["fp32", "bf16", "fp16"]
    memory_format: Literal["contiguous", "channels_last"]
    batch: int = Field(default=2, ge=2)
    deterministic: bool = True


class CheckedData(Value):
    """A data set, and the recipes of the networks that train on it."""

    data: AnyData
    recipes: Seq[TrainSpec]


class CheckedStart(Value):
    """A network that starts from trained weights or is frozen in part, and the recipe that says so."""

    model: AnyModel
    train: TrainSpec


class CheckOrder(Value):
    """`check.json`: check every distinct convolution of these networks, that these data are as stated, and that these
    networks can start.

    every_image  all images of the data are opened, instead of some of each split
    """

    networks: Seq[Checked] = ()
    data: Seq[CheckedData] = ()
    starts: Seq[CheckedStart] = ()
    every_image: bool = False


class Finding(Value):
    """One convolution in one number format, of `batch` images. Errors are relative to float64 (Euclidean norms); NaN is
    written as -1."""

    convolution: str
    precision: str
    memory_format: str
    batch: int = 2
    ok: bool
    forward_error: float
    weight_error: float
    input_error: float


class CheckResult(Value):
    """`result.json` of a check: the findings, the device, and the version of torch.

    network_faults  why networks can't be made; then there are no findings
    data_faults     why data can't be used
    data_notices    other notices about data
    inventories     what each checked data set holds, in order; None if its settings alone decide that, or if it can't
                    be used
    """

    device: str
    torch: str
    findings: Seq[Finding]
    network_faults: Seq[str] = ()
    data_faults: Seq[str] = ()
    data_notices: Seq[str] = ()
    inventories: Seq[Inventory | None] = ()


class ProbeOrder(Value):
    """`probe.json`: train a few steps of this experiment, keep nothing."""

    experiment: Experiment


class Probe(Value):
    """`result.json` of a probe: the time and memory of the steps on one device.

    steps, val_steps  batches of an epoch's training and of its validation
    step_seconds      of one training batch with its loading, after warm-up; `val_step_seconds` of one of validation
    setup_seconds     from the start to the end of the warm-up: data, network, first steps
    peak_memory_mb    of the process (CPU) or of the device (GPU), in 10^6 bytes
    fault             why nothing could be measured; "" if it was
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
        """The expected seconds of the whole run."""
        epoch = self.steps * self.step_seconds + self.val_steps * self.val_step_seconds
        return self.setup_seconds + self.epochs * epoch


class Pulse(Value):
    """`pulse.json`: rewritten every few seconds while a run trains, and removed when it has ended.

    step, steps         batches of the epoch that are done, and how many it has
    samples_per_second  training images per second since the previous pulse; 0 for the first one
    device_name         of the device, or of the first of several
    loss                of training, the mean over the batches that are done; None before the first one
    peak_memory_mb      so far, of the process (CPU) or of the device (GPU), in 10^6 bytes
    """

    host: str
    device_name: str
    epoch: int = Field(ge=1)
    step: int = Field(ge=0)
    steps: int = Field(ge=1)
    samples_per_second: float
    loss: float | None = None
    peak_memory_mb: float
