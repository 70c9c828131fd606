"""Lightning's Trainer as runs and probes have it: their loops by the recipe, and nothing else of what it offers."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any, Literal

import torch

from sklab.spec.train import TrainSpec
from sklab.training.lean_lightning import Trainer

_PRECISION: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "fp32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}


def make_trainer(recipe: TrainSpec, device: torch.device, folder: Path, **more: Any) -> Trainer:
    """A Trainer with the precision, accumulation and clipping of `recipe`; `more` are further arguments of Trainer's.

    It says less than Lightning's own, and writes nothing but what its callbacks and plugins write.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # The loaders need no advice on worker counts, and logging happens once an epoch on purpose.
    warnings.filterwarnings("ignore", module="lightning.pytorch")
    warnings.filterwarnings("ignore", "The `srun` command is available")  # where Slurm is, each task is one of our runs
    return Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        precision=_PRECISION[recipe.precision],
        accumulate_grad_batches=recipe.accumulate,
        gradient_clip_val=recipe.clip_norm or None,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=folder,
        **more,
    )
