"""How runs are handed to Slurm, as a file says it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sklab.spec import limits
from sklab.spec.values import Value


class SlurmSpec(Value):
    """What every run asks of the cluster.

    partition  where runs go; the cluster's default when left out
    time       minutes that a run has before it is put back in the queue
    parallel   runs of the study at a time
    gpus, cpus of one run; `memory` in GB, the cluster's default when left out
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
