"""The epochs of a run whose steps are replayed, one step at a time: so one process can train several runs in turn."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from sklab.data.loaders import Loaders, ValArrays
from sklab.training.callbacks.meter import METRICS
from sklab.training.callbacks.resume import ExactResume
from sklab.training.lean_lightning import Callback
from sklab.training.metrics.scores import Kept, Scores
from sklab.training.module import CHECK_EVERY, DivergedError
from sklab.training.recipe import autocast, learning_rate
from sklab.training.replay.evaluation import GraphedEvaluation
from sklab.training.replay.steps import GraphedTraining

# What the device has to reach before the run goes on; None: nothing.
Steps = Generator[torch.cuda.Event | None, None, Any]


class Course:
    """Trains and evaluates through `training` and `loaders` of arrays, by further `metrics` as well.

    It stands where callbacks expect Lightning's Trainer and its module, of which it has what they ask for.
    """

    accumulate_grad_batches = 1

    def __init__(
        self,
        training: GraphedTraining,
        loaders: Loaders,
        keeper: ExactResume,
        callbacks: Sequence[Callback],
        metrics: tuple[str, ...] = (),
    ) -> None:
        assert isinstance(loaders.val, ValArrays)
        self._training, self._keeper, self._callbacks = training, keeper, callbacks
        self.train_dataloader, self._val = loaders.train, loaders.val
        self.device, self.max_epochs = training.device, training.recipe.epochs
        self.num_training_batches = len(loaders.train)
        self.current_epoch, self.global_step, self._first = 0, 0, 0
        self.callback_metrics: dict[str, float] = {}
        kept = Kept(len(loaders.val_labels), len(loaders.classes), metrics)
        self._evaluation = GraphedEvaluation(self.evaluated, training.recipe, self._val, kept)

    @property
    def average(self) -> Any:
        return self._training.average

    @property
    def evaluated(self) -> nn.Module:
        """The network that is evaluated and kept."""
        return self.average.network if self.average is not None else self._training.model

    @property
    def scores(self) -> Scores:
        """Of the last evaluation."""
        return self._evaluation.scores

    @property
    def train_loss(self) -> Tensor:
        return self._training.train_loss

    @property
    def rate(self) -> float:
        """The learning rate of the next step, as Lightning has it, to the last bit."""
        recipe, epochs = self._training.recipe, self.global_step / self.num_training_batches
        return recipe.lr * (learning_rate(recipe, epochs) / recipe.lr)

    @property
    def precision_plugin(self) -> Course:
        """Itself, which has the one thing that callbacks ask of it."""
        return self

    def forward_context(self) -> torch.autocast:
        """As Lightning's precision plugin has it."""
        return autocast(self._training.recipe, self.device)

    def steps(self) -> Steps:
        """Train to the end. Yields after each step and, where the device is behind, what it has to reach."""
        try:
            self._resume()
            self._tell("on_train_start")
            for epoch in range(self.current_epoch, self.max_epochs):
                self.current_epoch = epoch
                yield from self._train()
                yield from self._evaluate()
                self._tell("on_train_epoch_end")
        finally:
            self._tell("teardown", "fit")

    def save_checkpoint(self, name: str) -> None:
        """Keep all that `steps` needs to go on from here, under the name of a step."""
        checkpoint = {
            **self._training.state_dict(),
            "global_step": self.global_step,
            "callbacks": [callback.state_dict() for callback in self._callbacks],
        }
        self._keeper.on_save_checkpoint(cast(Any, self), self, checkpoint)
        self._keeper.checkpoints.save_checkpoint(checkpoint, name)

    def _resume(self) -> None:
        if self._keeper.resume_file is None:
            return
        held = self._keeper.checkpoints.load_checkpoint(self._keeper.resume_file)
        self._training.load_state_dict(held)
        self.train_loss.copy_(held["devices"][0]["train_loss"])
        if self.average is not None:
            self.average.load_state_dict(held["average"])
        for callback, state in zip(self._callbacks, held["callbacks"], strict=True):
            callback.load_state_dict(state)
        self.global_step = held["global_step"]
        self.current_epoch, self._first = divmod(self.global_step, self.num_training_batches)

    def _train(self) -> Steps:
        first, self._first = self._first, 0
        if first == 0:
            self.train_loss.zero_()
        self._training.begin_epoch(self.current_epoch, first)
        self._tell("on_train_epoch_start")
        for batch in range(first, self.num_training_batches):
            self._tell("on_train_batch_start", None, batch)
            self._training.step()
            self.global_step += 1
            if batch % CHECK_EVERY == 0:
                yield from self._reached()
                self._stop_unless_finite(self.train_loss, "training loss")
            self._tell("on_train_batch_end", None, None, batch)
            yield None
        yield from self._reached()

    def _evaluate(self) -> Steps:
        self._tell("on_validation_start")
        self._stop_unless_finite(self.train_loss, "training loss")
        self.evaluated.eval()
        last = self.current_epoch + 1 == self.max_epochs  # its attention is recorded, which no replay shows
        for _ in self._evaluation.one_by_one() if last else self._evaluation.replayed():
            self._tell("on_validation_batch_end", None, None, 0)
            yield None
        yield from self._reached()
        self._stop_unless_finite(self._evaluation.scores.loss, "validation loss")
        self.callback_metrics = self._metrics()
        self._tell("on_validation_end")

    def _metrics(self) -> dict[str, float]:
        values = (
            self.train_loss / self.num_training_batches,
            self._evaluation.scores.loss,
            self._evaluation.scores.error,
            self.rate,
        )
        named = dict(zip(METRICS, (float(value) for value in values), strict=True))
        return {**named, **self._evaluation.scores.further}

    def _reached(self) -> Steps:
        """Wait until the device has done all that it was given."""
        if self.device.type == "cuda":
            event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            event.record()
            yield event

    def _stop_unless_finite(self, total: Tensor, what: str) -> None:
        if not math.isfinite(float(total)):
            raise DivergedError(f"non-finite {what} in epoch {self.current_epoch + 1}")

    def _tell(self, hook: str, *more: Any) -> None:
        for callback in self._callbacks:
            getattr(callback, hook)(self, self, *more)
