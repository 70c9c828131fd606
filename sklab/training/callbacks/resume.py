"""Exact resume: writes a checkpoint now and then, and puts a run back to where its checkpoint stands.

Lightning restores weights, optimiser, schedule, gradient scaler and the number of the batch; random states, the place
in the epoch's images and what the module sums up are ours.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sklab.data.augment import Share
from sklab.store.files import content
from sklab.system.processes import PreemptedError, Stop
from sklab.training.callbacks.checkpoint import Checkpoints, ResumePoint, step_name
from sklab.training.devices import LargestLater, gathered
from sklab.training.lean_lightning import Callback, LightningModule, Trainer

_SHARE = 0.01  # of the time, at most, goes into checkpoints
_PATIENCE = 5.0  # seconds that an evaluation under way has to end in, once the process was asked to
_PRUNED_EVERY = 1.0  # seconds between two looks, within an epoch, for whether the runner wants the run to end
_NOTHING, _DUE, _STOP, _PRUNE = range(4)  # what a device wants; the largest wish of all devices is done by all


class PrunedError(Exception):
    """The runner wants the run to end: it looks worse than others."""


class ExactResume(Callback):
    """Writes a checkpoint every `every` seconds (0: after every step), more seldom where that takes long, and a last
    one when the process is asked to stop; then it raises PreemptedError. Once there is a `prune_file`, it raises
    PrunedError with what stands there. Several devices do all that one step later, and at the same one.

    Only whole optimizer steps are kept, never half of accumulated gradients. The run goes on from `resume_point`.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        resume_point: ResumePoint | None,
        every: float,
        share: Share,
        stop: Stop,
        prune_file: Path,
    ) -> None:
        self.checkpoints, self.resume_point, self.stop = checkpoints, resume_point, stop
        self._every, self.share, self._prune_file = every, share, prune_file
        self._next_prune = 0.0
        self._wishes = LargestLater()
        self._began = time.perf_counter() - (resume_point.wall_seconds if resume_point else 0.0)
        self._next = 0.0
        self._epochs: int | None = None  # finished ones, where a checkpoint stands between two
        self._restored: dict[str, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.stop.listen()  # Lightning has put its own handler before ours
        if self._restored:
            loader: Any = trainer.train_dataloader
            loader.skip(trainer.fit_loop.epoch_loop.batch_progress.current.ready)
            restore_random_state(self._restored["random"], pl_module.device)
        self._next = time.monotonic() + self._every

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        done = batch_idx + 1
        if done % trainer.accumulate_grad_batches == 0 and done < trainer.num_training_batches:
            self._look(trainer)

    def on_validation_batch_end(self, *_: Any, **__: Any) -> None:
        """Raises PreemptedError once a stop was asked for and has waited too long."""
        if self.stop.waited > _PATIENCE:
            raise PreemptedError(f"{self.stop.asked} during an evaluation")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        self._epochs = trainer.current_epoch + 1
        self._next_prune = 0.0
        if self._epochs != trainer.max_epochs:
            self._look(trainer)
        self._epochs = None

    def _look(self, trainer: Trainer) -> None:
        """Write a checkpoint if any device wants one, and end if any was asked to."""
        if self.share.world == 1:
            self._fulfil(self._wish(), trainer)
        else:
            self._fulfil(self._wishes.hear(), trainer)
            self._wishes.tell(self._wish())

    def _wish(self) -> int:
        if self._is_to_be_pruned():
            return _PRUNE
        return _STOP if self.stop.asked else _DUE if time.monotonic() >= self._next else _NOTHING

    def _fulfil(self, wish: int, trainer: Trainer) -> None:
        if wish == _NOTHING:
            return
        if wish == _PRUNE:
            raise PrunedError(content(self._prune_file).decode("utf-8", errors="replace"))
        began = time.monotonic()
        trainer.save_checkpoint(step_name(trainer.global_step))
        now = time.monotonic()
        self._next = now + (max(self._every, (now - began) / _SHARE) if self._every else 0.0)
        if wish == _STOP:
            raise PreemptedError(f"{self.stop.asked or 'another device was stopped'} after step {trainer.global_step}")

    def _is_to_be_pruned(self) -> bool:
        now = time.monotonic()
        if now < self._next_prune:
            return False
        self._next_prune = now + _PRUNED_EVERY
        return self._prune_file.exists()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        checkpoint["wall_seconds"] = time.perf_counter() - self._began
        checkpoint["average"] = pl_module.average.state_dict() if pl_module.average else None
        mine = {"random": random_state(pl_module.device), "train_loss": pl_module.train_loss.cpu()}
        checkpoint["devices"] = gathered(mine)
        if self._epochs is not None:
            checkpoint.pop("loops", None)  # Lightning would go through the epoch's end once more
            checkpoint["epochs"] = self._epochs

    def on_load_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        self._restored = checkpoint["devices"][self.share.rank]
        pl_module.train_loss = self._restored["train_loss"].to(pl_module.device)
        if pl_module.average:
            pl_module.average.load_state_dict(checkpoint["average"])
        if "epochs" in checkpoint:
            epochs: Any = trainer.fit_loop.epoch_progress
            for count in (epochs.total, epochs.current):
                count.ready = count.started = count.processed = count.completed = checkpoint["epochs"]
            steps = trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total
            steps.ready = steps.completed = checkpoint["global_step"]

    @property
    def resume_file(self) -> Path | None:
        """For Lightning: the checkpoint to load."""
        return self.resume_point.file if self.resume_point else None

    @property
    def wall_seconds(self) -> float:
        """Wall time of this attempt and, up to the checkpoint, of the attempts before."""
        return time.perf_counter() - self._began


def random_state(device: torch.device) -> dict[str, Any]:
    """The state of Python's, NumPy's and torch's generators, and of the one on `device`."""
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002 - the global one, whoever may draw from it
    state = {
        "python": random.getstate(),
        "numpy": (name, [int(key) for key in keys], *rest),
        "torch": torch.get_rng_state(),
    }
    return {**state, "cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else state


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Let the generators go on from what `random_state` gave."""
    name, keys, *rest = state["numpy"]
    random.setstate(state["python"])
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
