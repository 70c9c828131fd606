"""The compute plane is this one function: `train(order, folder, device) -> RunRecord`."""

from __future__ import annotations

import logging
import platform
import socket
import time
import traceback
import warnings
from importlib.metadata import version
from typing import Any, Literal

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger

from sklab.data.loaders import open_loaders
from sklab.errors import SklabError
from sklab.machine import cpu_name
from sklab.models.cost import cost
from sklab.models.numerics import LAYOUTS
from sklab.models.zoo import build
from sklab.records import FailureClass, Hardware, RunFolder, RunOrder, RunRecord, now
from sklab.tracking.wandb_run import close, open_logger
from sklab.training.meter import Meter, peak_memory_mb
from sklab.training.module import Classifier, DivergedError

_PRECISION: dict[str, Literal["32-true", "bf16-mixed"]] = {"fp32": "32-true", "bf16": "bf16-mixed"}
_VERSIONED = ("torch", "lightning", "numpy")


def train(order: RunOrder, folder: RunFolder, device: torch.device) -> RunRecord:
    """Train the run that `order` asks for, write `record.json` into `folder` and return it.

    Whatever goes wrong inside becomes a record with its reason, never an exception; only a process that dies
    leaves none. The number of threads is the process's own affair and is recorded.
    """
    started, clock = now(), time.perf_counter()
    meter = Meter(folder.metrics_file)
    logger = open_logger(order, folder.path)
    try:
        _fit(order, meter, logger, device)
        outcome: dict[str, Any] = {"status": "complete"}
    except Exception as error:  # every failure of a run is recorded with its class
        traceback.print_exc()
        outcome = _outcome(error)
    record = _record(order, folder, meter, device).model_copy(
        update={**outcome, "started": started, "ended": now(), "wall_seconds": time.perf_counter() - clock}
    )
    folder.write_record(record)
    close(logger, failed=record.status != "complete")
    return record


def _fit(order: RunOrder, meter: Meter, logger: Logger | None, device: torch.device) -> None:
    experiment, seed = order.spec.experiment, order.spec.seed
    recipe = experiment.train
    torch.manual_seed(seed)
    model = build(experiment.model).to(device)
    model = model.to(memory_format=LAYOUTS[recipe.memory_format])  # type: ignore[call-overload]  # not in its stub
    loaders = open_loaders(experiment.data, recipe, seed, device)
    trainer = _trainer(order, meter, logger, device)
    trainer.fit(Classifier(model, recipe, len(loaders.train)), loaders.train, loaders.val)


def _trainer(order: RunOrder, meter: Meter, logger: Logger | None, device: torch.device) -> Trainer:
    recipe = order.spec.experiment.train
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # The loaders need no advice on worker counts, and logging happens once an epoch on purpose.
    warnings.filterwarnings("ignore", module="lightning.pytorch")
    return Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        precision=_PRECISION[recipe.precision],
        max_epochs=recipe.epochs,
        logger=logger if logger is not None else False,
        callbacks=[meter],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=meter.folder,
    )


def _outcome(error: Exception) -> dict[str, Any]:
    """Status, failure class, reason in one line and traceback of a run that `error` ended."""
    status = "diverged" if isinstance(error, DivergedError) else "failed"
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    shown = "" if isinstance(error, DivergedError | SklabError) else traceback.format_exc()
    return {"status": status, "failure": _failure_class(error), "reason": reason, "traceback": shown}


def _failure_class(error: Exception) -> FailureClass:
    if isinstance(error, DivergedError):
        return "diverged"
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "oom"
    return "data" if isinstance(error, SklabError) else "code"


def _record(order: RunOrder, folder: RunFolder, meter: Meter, device: torch.device) -> RunRecord:
    """What stands in the record however the run ended; `status` is filled in by the caller."""
    experiment = order.spec.experiment
    counted = cost(experiment.model, experiment.data.image_size)
    return RunRecord.of(
        order,
        status="failed",
        last=meter.epochs[-1] if meter.epochs else {},
        best=meter.epochs[meter.best_epoch - 1] if meter.epochs else {},
        best_epoch=meter.best_epoch,
        epochs=len(meter.epochs),
        params=counted.params,
        macs=counted.macs,
        train_seconds=meter.train_seconds,
        samples_per_second=meter.samples_per_second,
        peak_memory_mb=peak_memory_mb(device),
        hardware=_hardware(device),
        versions={"python": platform.python_version(), **{name: version(name) for name in _VERSIONED}},
        first_step=meter.first_step,
        attempt=folder.attempt,
    )


def _hardware(device: torch.device) -> Hardware:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    return Hardware(host=socket.gethostname(), device=device.type, device_name=name, threads=torch.get_num_threads())
