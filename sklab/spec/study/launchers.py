"""Launcher files: how runs are given to Slurm and to Ray."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from sklab.spec import limits
from sklab.spec.values import Value

_RESOURCES = ("gres", "tres-per-task")  # options of sbatch whose value may ask for GPUs


class SlurmSpec(Value):
    """What every run requests from the cluster.

    launcher   the engine
    partition  where runs go; the cluster's default when left out
    time       minutes that a run has before it returns to the queue
    parallel   runs of the study at a time
    gpus       GPUs of one run; without them it computes on the CPU
    cpus       cores of one run
    memory     memory of one run in GB; the cluster's default when left out
    sbatch     any other option of sbatch by its long name; `true` for one that takes no value
    """

    launcher: Literal["slurm"]
    partition: str | None = None
    time: int = Field(ge=1, le=limits.MINUTES)
    parallel: int = Field(ge=1, le=limits.MACHINES)
    gpus: int = Field(default=0, ge=0, le=limits.DEVICES)
    cpus: int = Field(default=1, ge=1, le=limits.MACHINES)
    memory: int | None = Field(default=None, ge=1, le=limits.MACHINES)
    sbatch: dict[str, str | int | bool] = {}

    @field_validator("sbatch", mode="after")
    @classmethod
    def _gpus_are_stated(
        cls, sbatch: dict[str, str | int | bool], others: ValidationInfo
    ) -> dict[str, str | int | bool]:
        """A run for which `gpus` states none computes on the CPU, whatever the job has."""
        of_gpus = (name for name, value in sbatch.items() if name in _RESOURCES and "gpu" in str(value))
        asked = [*(name for name in sbatch if name.startswith("gpus")), *of_gpus]
        if asked and not others.data.get("gpus"):
            raise ValueError(f"{asked[0]} asks for GPUs and gpus states none; state their number in gpus too")
        return sbatch


def _whole_above_one(gpus: float) -> float:
    if gpus > 1 and not gpus.is_integer():
        raise ValueError("a run takes a part of one GPU, as in 0.25, or whole ones")
    return gpus


class RaySpec(Value):
    """What every run requests from the cluster.

    launcher  the engine
    address   `host:port` of the cluster's head; `auto` for the cluster that this machine belongs to; `local` starts a
              cluster of this machine alone, which ends with the runner
    parallel  runs of the study at a time
    gpus      GPUs of one run; 0.25 lets four runs share a GPU, and nothing divides its memory between them
    cpus      cores of one run
    """

    launcher: Literal["ray"]
    address: str = Field(default="local", min_length=1)
    parallel: int = Field(ge=1, le=limits.MACHINES)
    gpus: Annotated[float, AfterValidator(_whole_above_one)] = Field(default=0.0, ge=0, le=limits.DEVICES)
    cpus: int = Field(default=1, ge=1, le=limits.MACHINES)
