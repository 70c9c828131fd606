"""The compute plane is this one function: `train(order, folder, device) -> RunRecord`."""

from __future__ import annotations

import io
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
from torch import nn

from sklab.data.loaders import open_loaders
from sklab.errors import SklabError
from sklab.machine import cpu_name
from sklab.models.cost import cost
from sklab.models.numerics import LAYOUTS
from sklab.models.zoo import build
from sklab.records import FailureClass, Hardware, RunFolder, RunOrder, RunRecord, now, write_whole
from sklab.spec.train import TrainSpec
from sklab.tracking.wandb_run import close, open_logger
from sklab.training.attention import AttentionMeter
from sklab.training.meter import Meter, peak_memory_mb
from sklab.training.module import Classifier, DivergedError

_Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
_PRECISION: dict[str, _Precision] = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
_VERSIONED = ("torch", "lightning", "numpy")


def train(order: RunOrder, folder: RunFolder, device: torch.device) -> RunRecord:
    """Train the run that `order` asks for, write its weights and then `record.json` into `folder`; return the record.

    Whatever goes wrong inside becomes a record with its reason, never an exception; only a process that dies
    leaves none. The number of threads is the process's own affair and is recorded.
    """
    started, clock = now(), time.perf_counter()
    meter = Meter(folder.metrics_file)
    logger = open_logger(order, folder.path)
    try:
        _keep_weights(_fit(order, folder, meter, logger, device), folder)
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


def _fit(order: RunOrder, folder: RunFolder, meter: Meter, logger: Logger | None, device: torch.device) -> nn.Module:
    """Train; the network as it was evaluated last, with its attention written down."""
    experiment, seed = order.spec.experiment, order.spec.seed
    recipe = experiment.train
    if recipe.precision == "fp16" and device.type == "cpu":
        raise SklabError("train.precision = fp16 needs a GPU; allowed on the CPU: fp32 or bf16")
    torch.manual_seed(seed)
    model = build(experiment.model).to(device)
    model = model.to(memory_format=LAYOUTS[recipe.memory_format])  # type: ignore[call-overload]  # not in its stub
    loaders = open_loaders(experiment.data, recipe, seed, device)
    batches = _whole_steps(len(loaders.train), recipe)
    classifier = Classifier(model, recipe, seed, batches)
    if recipe.compile:
        model.compile()
    attention = AttentionMeter(folder.attention_file, order.key, loaders)
    _trainer(recipe, batches, meter, attention, logger, device).fit(classifier, loaders.train, loaders.val)
    return classifier.evaluated


def _whole_steps(batches: int, recipe: TrainSpec) -> int:
    """How many of an epoch's batches are used: as a batch is always full, so is the sum of batches behind a step."""
    if batches < recipe.accumulate:
        raise SklabError(
            f"train.accumulate = {recipe.accumulate} but an epoch has {batches} batches of train.batch_size = "
            f"{recipe.batch_size}; allowed: 1 to {batches}"
        )
    return batches - batches % recipe.accumulate


def _trainer(
    recipe: TrainSpec,
    batches: int,
    meter: Meter,
    attention: AttentionMeter,
    logger: Logger | None,
    device: torch.device,
) -> Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # The loaders need no advice on worker counts, and logging happens once an epoch on purpose.
    warnings.filterwarnings("ignore", module="lightning.pytorch")
    return Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        precision=_PRECISION[recipe.precision],
        max_epochs=recipe.epochs,
        limit_train_batches=batches,
        accumulate_grad_batches=recipe.accumulate,
        gradient_clip_val=recipe.clip_norm or None,
        logger=logger if logger is not None else False,
        callbacks=[meter, attention],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=meter.folder,
    )


def _keep_weights(network: nn.Module, folder: RunFolder) -> None:
    content = io.BytesIO()
    torch.save({name: tensor.cpu() for name, tensor in network.state_dict().items()}, content)
    write_whole(folder.weights_file, content.getvalue())


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
