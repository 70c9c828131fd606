"""Short jobs before a sweep, on the device that its runs will get: the checks, and a few steps for a price.

`check.json` or `probe.json` in, `result.json` out.
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from sklab.data import check as data_check
from sklab.data.loaders import open_loaders
from sklab.errors import SklabError
from sklab.models import numerics
from sklab.models.numerics import placed
from sklab.models.weights.trunk import begin
from sklab.models.zoo import cost
from sklab.spec.data import Inventory
from sklab.spec.jobs import Checked, CheckOrder, CheckResult, Finding, Probe, ProbeOrder
from sklab.spec.run import Experiment
from sklab.store.files import content, write_whole
from sklab.training.callbacks.meter import peak_memory
from sklab.training.determinism import ensure_starts, set_arithmetic
from sklab.training.lean_lightning import Callback, LightningEnvironment, LightningModule, Trainer
from sklab.training.module import Classifier, make_trainer

_WARM, _TIMED, _VAL = 2, 6, 3  # optimizer steps before the clock starts, and under it; batches of validation


def check(folder: Path, device: torch.device, device_name: str) -> None:
    """Check every distinct convolution and data set that the order in `folder` asks about, and write what was found."""
    order = CheckOrder.model_validate_json(content(folder / "check.json"))
    inventories, notices, faults = _checked_data(order)
    unmade = tuple(dict.fromkeys((*_network_faults(order), *_start_faults(order))))
    result = CheckResult(
        device=device_name,
        torch=torch.__version__,
        findings=() if unmade else tuple(_findings(order, device)),
        network_faults=unmade,
        data_faults=faults,
        data_notices=notices,
        inventories=inventories,
    )
    write_whole(folder / "result.json", result.model_dump_json(indent=1))


def _findings(order: CheckOrder, device: torch.device) -> Iterator[Finding]:
    def way(asked: Checked) -> tuple[numerics.Dtype, numerics.MemoryFormat, int, bool]:
        """What decides how the device computes. The CPU computes every batch in the same way."""
        by_size = (asked.batch, asked.deterministic) if device.type == "cuda" else (numerics.LEAST_BATCH, True)
        return (asked.precision, asked.memory_format, *by_size)

    for (precision, memory_format, batch, deterministic), networks in groupby(sorted(order.networks, key=way), way):
        set_arithmetic(device, deterministic=deterministic)
        ensure_starts(device)
        sizes = [(network.model, network.image_size) for network in networks]
        for verdict in numerics.check(sizes, precision, memory_format, device.type, batch):
            yield Finding(
                convolution=str(verdict.signature),
                precision=precision,
                memory_format=memory_format,
                batch=verdict.batch,
                ok=verdict.ok,
                forward_error=_finite(verdict.forward_error),
                weight_error=_finite(verdict.weight_grad_error),
                input_error=_finite(verdict.input_grad_error),
            )


def _network_faults(order: CheckOrder) -> Iterator[str]:
    for network in order.networks:
        try:
            cost(network.model, network.image_size)
        except SklabError as error:
            yield str(error)


def _start_faults(order: CheckOrder) -> Iterator[str]:
    """Why networks can't start from what they are to start from, or what is frozen leaves nothing to train."""
    for asked in order.starts:
        try:
            with torch.device("meta"):
                begin(asked.model, asked.train)
        except SklabError as error:
            yield str(error)


def _checked_data(order: CheckOrder) -> tuple[tuple[Inventory | None, ...], tuple[str, ...], tuple[str, ...]]:
    """For each data set its fingerprint, the notices about it, and why it can't be used, if so."""
    inventories: list[Inventory | None] = []
    notices: list[str] = []
    faults = []
    for asked in order.data:
        try:
            inventory, said = data_check.check(asked.data, asked.recipes, every_image=order.every_image)
            inventories.append(inventory)
            notices += said
        except SklabError as error:
            inventories.append(None)
            faults.append(str(error))
    return tuple(inventories), tuple(dict.fromkeys(notices)), tuple(faults)  # cells may share a set's files


def _finite(error: float) -> float:
    """`error`, or -1 for one that is no number: JSON has none for it."""
    return error if math.isfinite(error) else -1.0


def probe(folder: Path, device: torch.device) -> None:
    """Train a few steps of the experiment that the order in `folder` names, and write what they took."""
    order = ProbeOrder.model_validate_json(content(folder / "probe.json"))
    try:
        result = _probed(order.experiment, folder, device)
    except Exception as error:  # whatever is wrong would be wrong with the run as well
        traceback.print_exc()
        result = Probe(fault=(str(error).strip() or type(error).__name__).splitlines()[0])
    write_whole(folder / "result.json", result.model_dump_json(indent=1))


def _probed(experiment: Experiment, folder: Path, device: torch.device) -> Probe:
    """A run on several devices is probed on one, with that device's part of each batch."""
    began = time.perf_counter()
    asked = experiment.train
    recipe = asked.model_copy(update={"batch_size": asked.batch_size // asked.devices, "devices": 1})
    set_arithmetic(device, deterministic=recipe.deterministic)
    torch.manual_seed(0)
    begun = begin(experiment.model, recipe)
    model = placed(begun.network, recipe.memory_format, device)
    loaders = open_loaders(experiment.data, recipe, 0, device)
    batches, val_batches = len(loaders.train) // asked.devices, -(-len(loaders.val) // asked.devices)
    clock = _Clock(min(batches - 1, _WARM * recipe.accumulate))
    trainer = make_trainer(
        recipe,
        device,
        folder,
        max_epochs=1,
        limit_train_batches=min(len(loaders.train), (_WARM + _TIMED) * recipe.accumulate),
        limit_val_batches=_VAL,
        devices=1,
        plugins=[LightningEnvironment()],
        callbacks=[clock],
        logger=False,
    )
    trainer.fit(Classifier(model, recipe, 0, len(loaders.train), trunk=begun.trunk), loaders.train, loaders.val)
    return Probe(
        epochs=recipe.epochs,
        steps=batches,
        val_steps=val_batches,
        step_seconds=clock.step_seconds,
        val_step_seconds=clock.val_step_seconds,
        setup_seconds=clock.warm - began,
        peak_memory_mb=peak_memory(device).allocated,
    )


class _Clock(Callback):
    """Times the training batches after the first `unclocked`, and validation. `warm` is when these had passed."""

    def __init__(self, unclocked: int) -> None:
        self._unclocked, self._batches = unclocked, 0
        self.warm = self._last = self._val_began = time.perf_counter()
        self._val_last, self._val_batches = self._val_began, 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        if batch_idx == 0 and self._unclocked == 0:
            self.warm = self._now(pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:  # noqa: ARG002
        self._batches += 1
        if self._batches == self._unclocked:
            self.warm = self._now(pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        self._last = self._val_began = self._now(pl_module)

    def on_validation_batch_end(self, *_: Any) -> None:
        self._val_batches += 1

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        self._val_last = self._now(pl_module)

    @property
    def step_seconds(self) -> float:
        return (self._last - self.warm) / (self._batches - self._unclocked)

    @property
    def val_step_seconds(self) -> float:
        return (self._val_last - self._val_began) / self._val_batches

    def _now(self, module: LightningModule) -> float:
        if module.device.type == "cuda":
            torch.cuda.synchronize(module.device)
        return time.perf_counter()
