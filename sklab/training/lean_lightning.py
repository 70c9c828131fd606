"""Lightning, as all of this room takes it: without libraries that it and torchmetrics would load on their way.

They are for metrics and loggers that nobody here uses. Half of the time of starting goes into them, and one that can't
be loaded, such as a torchvision that does not fit this torch, would end every run.
"""

from __future__ import annotations

from contextlib import suppress

import torch  # noqa: F401 - with all that is its own

from sklab.training.left_out import left_out, optional

with suppress(ImportError), left_out(*optional("lightning", "torchmetrics")):  # else all is loaded below
    import lightning.pytorch  # noqa: F401

from lightning.fabric.plugins import CheckpointIO
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import DDPStrategy, Strategy
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig

__all__ = [
    "Callback",
    "CheckpointIO",
    "ClusterEnvironment",
    "DDPStrategy",
    "LightningEnvironment",
    "LightningModule",
    "Logger",
    "OptimizerLRSchedulerConfig",
    "SIGTERMException",
    "Strategy",
    "Trainer",
]
