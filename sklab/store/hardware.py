"""What records keep of the machine of a run, and of the energy that it took."""

from __future__ import annotations

from pydantic import Field

from sklab.spec.values import Value


class Arithmetic(Value):
    """How a GPU computes: what decides the last bits beside its kind and torch.

    cudnn                   version of cuDNN; "" where torch can use none
    deterministic           whether torch and cuDNN take only algorithms that give the same bits every time
    convolutions, matrices  how products of fp32 numbers are computed: `tf32` (10 bits of their mantissa) or `ieee`
    """

    cudnn: str
    deterministic: bool
    convolutions: str
    matrices: str


class Hardware(Value):
    """Where a run ran. `threads` are torch's intra-op threads, per device; they decide the last bits on the CPU, and so
    does `instructions`, the set of vector instructions that torch computes with ("" in older records and on GPUs).
    `device_name` has each kind of several GPUs once; `arithmetic` is None on the CPU and in older records. `abreast` is
    the most runs that the process trained at a time: speed and memory are to be read with it."""

    host: str
    device: str
    device_name: str
    threads: int
    devices: int = Field(default=1, ge=1)
    instructions: str = ""
    arithmetic: Arithmetic | None = None
    abreast: int = Field(default=1, ge=1)


class Energy(Value):
    """What an attempt took: `joules` of the counter `source` (NVML or RAPL); "" where none was read, and `why`."""

    joules: float = Field(default=0.0, ge=0)
    source: str = ""
    why: str = ""
