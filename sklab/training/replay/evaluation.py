"""An evaluation as replays of a CUDA graph, a batch each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from sklab.data.loaders import ValArrays
from sklab.spec.train import TrainSpec
from sklab.training.metrics.scores import Kept, Scores
from sklab.training.recipe import autocast
from sklab.training.replay.steps import NotRecordableError, counter, recorded

_log = logging.getLogger(__name__)


class GraphedEvaluation:
    """Evaluates `network`, which is in eval mode whenever it does, on `images`, of each of which so much is `kept`.

    scores  of the images of the last evaluation
    """

    def __init__(self, network: nn.Module, recipe: TrainSpec, images: ValArrays, kept: Kept) -> None:
        self.scores = Scores(images.device, kept)
        self._network, self._recipe, self._images, self._device = network, recipe, images, images.device
        self._row = counter(self._device)
        self._places = torch.arange(images.batch_size, device=self._device)
        self._replay: Callable[[], object] | None = None

    def one_by_one(self) -> Iterator[None]:
        """Evaluate batch by batch, as hooks of the network can follow it; yields after each."""
        return self._evaluate(self._full_batch)

    def replayed(self) -> Iterator[None]:
        """Evaluate by replays, but for a last batch that is smaller; yields after each batch."""
        if self._replay is None and len(self._images.labels) >= self._images.batch_size:
            self._full_batch()
            self._replay = self._recorded()
        return self._evaluate(self._replay or self._full_batch)

    def _recorded(self) -> Callable[[], object]:
        try:
            return recorded(self._full_batch, self._device)
        except NotRecordableError as error:  # its step was recordable: a network that computes something else in eval
            _log.warning("the evaluation can't be recorded, it is done batch by batch: %s", error)
            return self._full_batch

    def _evaluate(self, full_batch: Callable[[], object]) -> Iterator[None]:
        full, rest = divmod(len(self._images.labels), self._images.batch_size)
        self.scores.clear()
        self._row.zero_()
        for _ in range(full):
            full_batch()
            yield
        if rest:
            self._add(slice(full * self._images.batch_size, None))
            yield

    def _full_batch(self) -> None:
        self._add(self._row * self._images.batch_size + self._places)
        self._row += 1

    @torch.no_grad()
    def _add(self, places: Tensor | slice) -> None:
        images, labels = self._images.batch(places)
        with autocast(self._recipe, self._device):
            self.scores.add(self._network(images), labels)
