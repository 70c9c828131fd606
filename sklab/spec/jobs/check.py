"""What the checks before a sweep are asked and answer, as values that cross the process border in files."""

from __future__ import annotations

from typing import Literal

from sklab.spec.data import AnyData
from sklab.spec.fingerprint import Inventory
from sklab.spec.model import AnyModel
from sklab.spec.train import TrainSpec
from sklab.spec.values import Seq, Value


class Checked(Value):
    """A network at an input size, in the number format it is to be trained in."""

    model: AnyModel
    image_size: int
    precision: Literal["fp32", "bf16", "fp16"]
    memory_format: Literal["contiguous", "channels_last"]


class CheckedData(Value):
    """A data set, and the recipes by which networks are to be trained on it."""

    data: AnyData
    recipes: Seq[TrainSpec]


class CheckOrder(Value):
    """`check.json`: check every distinct convolution of these networks, and that these data are as stated.

    every_image  all images of the data are opened, instead of some of each split
    """

    networks: Seq[Checked] = ()
    data: Seq[CheckedData] = ()
    every_image: bool = False


class Finding(Value):
    """One convolution in one number format. Errors are relative to float64 (Euclidean norms); NaN is told as -1."""

    convolution: str
    precision: str
    memory_format: str
    ok: bool
    forward_error: float
    weight_error: float
    input_error: float


class CheckResult(Value):
    """`result.json`: what was found, on which device, with which torch.

    network_faults  why networks can't be made; then there are no findings
    data_faults     why data can't be used
    data_notices    what else there is to say about them
    inventories     what each data set holds that was asked about, in order; None where its settings alone decide that,
                    or where it can't be used
    """

    device: str
    torch: str
    findings: Seq[Finding]
    network_faults: Seq[str] = ()
    data_faults: Seq[str] = ()
    data_notices: Seq[str] = ()
    inventories: Seq[Inventory | None] = ()
