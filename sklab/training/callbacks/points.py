"""The curve within epochs: loss and learning rate every so many steps, without waiting for the device."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sklab.training.lean_lightning import Trainer

EVERY = 50  # batches between two points within an epoch, at least
_SECONDS = 1.0  # between two of them, at least: a step may take a millisecond
_MOST = 2000  # points within epochs; then every second one is dropped, and they come half as often


class Point(NamedTuple):
    """After so many optimizer `step`s, in `epoch` (from 1): the mean loss of a batch since the point before (or since
    the epoch began; of this device's images), and the learning rate."""

    step: int
    epoch: int
    train_loss_step: float
    lr: float


class _Later(NamedTuple):
    """A point whose sums of losses, before and after its `batches`, are on their way from the device."""

    step: int
    epoch: int
    lr: float
    batches: int
    before: Tensor
    after: Tensor
    arrived: torch.cuda.Event | None

    @property
    def is_here(self) -> bool:
        return self.arrived is None or bool(self.arrived.query())  # type: ignore[no-untyped-call]

    @property
    def point(self) -> Point:
        return Point(self.step, self.epoch, float(self.after - self.before) / self.batches, self.lr)


class Points:
    """Writes a line into `file` at the end of each epoch and, at most once a second of `clock`, every 50 batches.

    all   the points so far, those of earlier attempts included
    tell  is called with each new one
    """

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._clock = file, clock
        self._seconds, self._next = _SECONDS, 0.0
        self._before: Tensor | None = None  # the sum at the last point; None: at the epoch's next batch
        self._first = 0  # batch since that point
        self._coming: deque[_Later] = deque()
        self.all: list[Point] = []
        self.tell: Callable[[Point], None] = lambda _: None

    def begin(self) -> None:
        """Begin the file anew, with the points of earlier attempts."""
        self._next = self._clock() + self._seconds
        self._write("w", f"{','.join(Point._fields)}\n", *map(_line, self.all))

    def begin_epoch(self) -> None:
        """The sum of losses begins anew."""
        self._before = None

    def before_batch(self, module: Any, batch: int) -> None:
        """Where the first batch since a new sum begins: keep that sum."""
        if self._before is None:
            self._before, self._first = _copied(module.train_loss), batch

    def after_batch(self, trainer: Trainer, module: Any, batch: int) -> None:
        """Take a point if it is time, and those that have arrived from the device."""
        done, now = batch + 1, self._clock()
        if done == trainer.num_training_batches or (done % EVERY == 0 and now >= self._next):
            self._next = now + self._seconds
            self._take(trainer, module, done)
        while self._coming and self._coming[0].is_here:
            self._arrive()

    def collect(self) -> None:
        """Take all points; the device has done what it was given."""
        while self._coming:
            self._arrive()

    def _take(self, trainer: Trainer, module: Any, done: int) -> None:
        assert self._before is not None
        after, arrived = _copied(module.train_loss), None
        if module.device.type == "cuda":
            arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrived.record()
        epoch, batches = trainer.current_epoch + 1, done - self._first
        self._coming.append(_Later(trainer.global_step, epoch, module.rate, batches, self._before, after, arrived))
        self._before, self._first = after, done

    def _arrive(self) -> None:
        point = self._coming.popleft().point
        self.all.append(point)
        if len(self.all) - point.epoch > _MOST:
            self._seconds *= 2
            self.all = [*_thinned(self.all)]
        self._write("a", _line(point))
        self.tell(point)

    def _write(self, mode: str, *lines: str) -> None:
        with suppress(OSError), self._file.open(mode, encoding="utf-8") as stream:  # the curve is not worth a run
            stream.writelines(lines)


def _thinned(points: list[Point]) -> Iterator[Point]:
    """Every second point, and the last one of each epoch."""
    following = [*(point.epoch for point in points[1:]), 0]
    return (point for at, point in enumerate(points) if at % 2 or point.epoch != following[at])


def _copied(total: Tensor | float) -> Tensor:
    """The sum of losses as it is at this place of the device's work, on its way to the host."""
    if not isinstance(total, Tensor):
        return torch.tensor(float(total))
    return total.detach().to("cpu", copy=True, non_blocking=True)


def _line(point: Point) -> str:
    return f"{','.join(map(repr, point))}\n"
