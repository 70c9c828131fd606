"""What a run measures about itself: metrics per epoch, time, speed, memory."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy.typing as npt
import torch

from sklab.data.loaders import Facts
from sklab.spec.start.weights import Started
from sklab.store.measured.images import ImageScores, Outcomes, Packed, sources_text
from sklab.store.records import now
from sklab.training.callbacks.points import Point, Points
from sklab.training.lean_lightning import Callback, LightningModule, Trainer

METRICS = ("train_loss", "val_loss", "val_error", "lr")


class Follower(Protocol):
    """Follows a run as it is trained. `log` gets the numbers by name after so many optimizer steps."""

    def log(self, row: Mapping[str, float], step: int) -> None: ...


class Meter(Callback):
    """Appends a row to `file` after each epoch and keeps the epochs' metrics and the time spent in training steps.

    A run that goes on from a checkpoint finds in `file` the epochs up to there, and no others.

    further        names of the further metrics that the evaluations compute
    epochs         metrics by name, one mapping per finished epoch
    train_seconds  spent between the first and the last training step of the epochs, without validation
    first_step     UTC time of the first training step ("" before it)
    facts          of the data; set by the caller that opened it
    points         the curve within epochs, in `steps.csv` beside `file`
    follower       is told of every point and epoch, those of earlier attempts first; set by the caller
    images         what the last and the best evaluation made of each image
    peak           the most memory that any device of the run held; set by the caller once all have reported
    start          how the network started from trained weights; set by the caller that made it
    latency_ms     of one image through the evaluated network, and `replay_ms` of its replay; set by the caller that
                   trained it (0 until then)
    """

    def __init__(self, file: Path, further: tuple[str, ...] = ()) -> None:
        self._file, self._names = file, (*METRICS, *further)
        self._began = 0.0  # 0 outside the training steps of an epoch
        self._samples_per_epoch = 0
        self._device = torch.device("cpu")
        self._warm = False  # whether this attempt has an epoch behind it, in which it compiles and finds its algorithms
        self._steady_seconds, self._steady_epochs = 0.0, 0
        self._seconds: list[float] = []  # of training, up to the end of each epoch
        self.epochs: list[dict[str, float]] = []
        self.train_seconds = 0.0
        self.first_step = ""
        self.facts = Facts()
        self.points = Points(file.with_name("steps.csv"))
        self.follower: Follower | None = None
        self.images = KeptImages()
        self.peak = Peak()
        self.start: Started | None = None
        self.latency_ms = self.replay_ms = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loader: Any = trainer.train_dataloader
        self._samples_per_epoch = int(trainer.num_training_batches) * loader.batch_size
        self._device = pl_module.device
        self._began = time.perf_counter()  # an epoch that was begun by an earlier attempt does not start again
        head = ",".join(("epoch", *self._names, "seconds")) + "\n"
        self._file.write_text("".join((head, *map(self._row, range(len(self.epochs))))), encoding="utf-8")
        self.points.begin()
        if self.follower is not None:
            self._tell_the_past(trainer)
            self.points.tell = self._tell_point

    def _tell_the_past(self, trainer: Trainer) -> None:
        """Tell the follower what earlier attempts measured, in the order of the steps."""
        steps = int(trainer.num_training_batches) // trainer.accumulate_grad_batches
        told = {number * steps: (number, epoch) for number, epoch in enumerate(self.epochs, start=1)}
        for point in self.points.all:
            self._tell_point(point)
            if point.step in told:
                self._tell_epoch(*told.pop(point.step), point.step)
        for step, (number, epoch) in told.items():  # of a checkpoint without points
            self._tell_epoch(number, epoch, step)

    def _tell_point(self, point: Point) -> None:
        if self.follower is not None:
            self.follower.log({"train_loss_step": point.train_loss_step, "lr": point.lr}, point.step)

    def _tell_epoch(self, number: int, epoch: Mapping[str, float], step: int) -> None:
        if self.follower is not None:
            self.follower.log({**epoch, "epoch": number}, step)

    def state_dict(self) -> dict[str, Any]:
        """What is measured so far, the current epoch included, for a checkpoint."""
        return {
            "epochs": list(self.epochs),
            "rows": [self._row(at) for at in range(len(self.epochs))],
            "train_seconds": self.train_seconds + (time.perf_counter() - self._began if self._began else 0.0),
            "steady": (self._steady_seconds, self._steady_epochs),
            "peak": tuple(peak_memory(self._device).most(self.peak)),
            "images": self.images.state_dict(),
            "points": [tuple(point) for point in self.points.all],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs = state_dict["epochs"]
        self._seconds = [float(row.rpartition(",")[2]) for row in state_dict["rows"]]
        self.train_seconds = state_dict["train_seconds"]
        # Another commit of this version may have written none of these.
        self._steady_seconds, self._steady_epochs = state_dict.get("steady", (0.0, 0))
        self.peak = Peak(*state_dict.get("peak", ()))
        self.images.load_state_dict(state_dict.get("images", {}))
        self.points.all = [Point(*point) for point in state_dict.get("points", ())]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        self._began = time.perf_counter()
        self.points.begin_epoch()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        self.first_step = self.first_step or now()
        self.points.before_batch(pl_module, batch_idx)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        self.points.after_batch(trainer, pl_module, batch_idx)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
        self.points.collect()
        took, self._began = time.perf_counter() - self._began, 0.0
        self.train_seconds += took
        if self._warm:
            self._steady_seconds += took
            self._steady_epochs += 1
        self._warm = True

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        row = {name: float(trainer.callback_metrics[name]) for name in self._names}
        self.epochs.append(row)
        self.images.take(pl_module.scores.outcomes, is_best=self.best_epoch == len(self.epochs))
        self._seconds.append(self.train_seconds)
        with self._file.open("a", encoding="utf-8") as stream:
            stream.write(self._row(-1))
        self._tell_epoch(len(self.epochs), row, trainer.global_step)

    def _row(self, at: int) -> str:
        """The line of an epoch; a metric that was not asked for then is no number."""
        epoch = self.epochs[at]
        values = (repr(epoch.get(name, math.nan)) for name in self._names)
        number = at % len(self.epochs) + 1
        return f"{number},{','.join(values)},{self._seconds[at]:.3f}\n"

    @property
    def last_seconds(self) -> float:
        """What the newest epoch took in training steps."""
        return self._seconds[-1] - (self._seconds[-2] if len(self._seconds) > 1 else 0.0)

    @property
    def samples_per_second(self) -> float:
        """Training images per second in training steps, without the first epoch of each attempt where there are
        others."""
        steady = (self._steady_epochs, self._steady_seconds)
        epochs, seconds = steady if self._steady_epochs else (len(self.epochs), self.train_seconds)
        return epochs * self._samples_per_epoch / seconds if seconds else 0.0

    @property
    def best_epoch(self) -> int:
        """The first epoch, from 1, with the lowest val_error; 0 before any."""
        errors = [epoch["val_error"] for epoch in self.epochs]
        return 1 + errors.index(min(errors)) if errors else 0


class Peak(NamedTuple):
    """The most memory held, in 10^6 bytes: `allocated` by tensors on a GPU or by the process on the CPU, and `reserved`
    by torch on a GPU, which is what its neighbours there lack (0 on the CPU)."""

    allocated: float = 0.0
    reserved: float = 0.0

    def most(self, other: Peak) -> Peak:
        """The larger of each."""
        return Peak(max(self.allocated, other.allocated), max(self.reserved, other.reserved))


def peak_memory(device: torch.device) -> Peak:
    """The most memory held so far by this process."""
    if device.type == "cuda":
        held = torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
        return Peak(held[0] / 1e6, held[1] / 1e6)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Peak(peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6)


class KeptImages:
    """Keeps the images of the last evaluation and of the best one so far; None before the first."""

    def __init__(self) -> None:
        self._last: Packed | None = None
        self._best: Packed | None = None

    def take(self, outcomes: Outcomes, *, is_best: bool) -> None:
        """Keep those of an evaluation that has ended."""
        self._last = Packed.of(outcomes)
        if is_best:
            self._best = self._last

    def state_dict(self) -> dict[str, str]:
        """The best ones, for a checkpoint; after it comes another evaluation, which is the last one then."""
        return self._best.model_dump() if self._best else {}

    def load_state_dict(self, state: dict[str, str]) -> None:
        self._best = Packed(**state) if state else None

    def of_run(self, key: str, images: int, sources: npt.ArrayLike | None) -> ImageScores | None:
        """The content of the run's `images.json`, for so many `images` with their `sources`; None without an
        evaluation."""
        if self._last is None:
            return None
        best = None if self._best == self._last else self._best
        return ImageScores(key=key, images=images, last=self._last, best=best, sources=sources_text(sources))
