"""Tells those who watch a run where it is, how fast and in how much memory, and its watchdog that it is alive."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sklab.spec.jobs import PULSE_FILE, Pulse
from sklab.training.callbacks.logbook import device_name
from sklab.training.callbacks.meter import peak_memory
from sklab.training.lean_lightning import Callback, LightningModule, Trainer

_PULSE_EVERY = 2.0  # seconds
_HEARTBEAT_EVERY = 1.0  # seconds; a step may take a millisecond, and the file may lie on a network


class PulseWriter(Callback):
    """Writes `pulse.json` into `folder` when training starts and then every two seconds or, where steps are longer,
    after each. Watching is no part of a run: a file that can't be written costs nothing but the sight of it."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._clock = folder / PULSE_FILE, clock
        self._told, self._batches, self._batch_size = clock(), 0, 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loader: Any = trainer.train_dataloader
        self._batch_size = loader.batch_size
        self._tell(trainer, pl_module, 0, 0.0)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        self._batches += 1
        passed = self._clock() - self._told
        if passed >= _PULSE_EVERY:
            self._tell(trainer, pl_module, batch_idx + 1, self._batches * self._batch_size / passed)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        with suppress(OSError):
            self._file.unlink(missing_ok=True)

    def _tell(self, trainer: Trainer, module: Any, step: int, speed: float) -> None:
        self._told, self._batches = self._clock(), 0
        pulse = Pulse(
            host=socket.gethostname(),
            device_name=device_name(module.device),
            epoch=trainer.current_epoch + 1,
            step=step,
            steps=int(trainer.num_training_batches),
            samples_per_second=speed,
            loss=float(module.train_loss) / step if step else None,
            peak_memory_mb=peak_memory(module.device).allocated,
        )
        with suppress(OSError):  # not `write_whole`: no watcher is worth a flush of the disk
            aside = self._file.with_suffix(".new")
            aside.write_text(pulse.model_dump_json(), encoding="utf-8")
            aside.replace(self._file)


class Heartbeat(Callback):
    """Touches `file` after training and validation steps, at most once a second of `clock`, and does `also`."""

    def __init__(
        self,
        file: Path,
        clock: Callable[[], float] = time.monotonic,
        also: Callable[[], None] = lambda: None,
    ) -> None:
        self._file, self._clock, self._also = file, clock, also
        self._next = clock()

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        self._beat()

    def on_validation_batch_end(self, *_: Any, **__: Any) -> None:
        self._beat()

    def _beat(self) -> None:
        moment = self._clock()
        if moment >= self._next:
            self._next = moment + _HEARTBEAT_EVERY
            with contextlib.suppress(OSError):  # a sign of life is not worth a run
                self._file.touch()
            self._also()
