"""The sign of life that a run gives from inside its steps, for the watchdog of whoever started it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sklab.training.lean_lightning import Callback

_EVERY = 1.0  # seconds; a step may take a millisecond, and the file may lie on a network


class Heartbeat(Callback):
    """Touches `file` after training and validation steps, at most once a second of `clock`."""

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._clock = file, clock
        self._next = clock()

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        self._beat()

    def on_validation_batch_end(self, *_: Any, **__: Any) -> None:
        self._beat()

    def _beat(self) -> None:
        moment = self._clock()
        if moment >= self._next:
            self._next = moment + _EVERY
            with contextlib.suppress(OSError):  # a sign of life is not worth a run
                self._file.touch()
