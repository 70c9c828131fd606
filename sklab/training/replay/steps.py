"""A training step as one CUDA graph: recorded once, then replayed. Small networks gain most: to launch their kernels
one by one takes a processor longer than a GPU needs to execute them.

A replay repeats the recorded kernels on the recorded addresses. So everything that differs from step to step (order of
the images, shifts, flips, mixing, learning rate) lies in tables on the device, and a counter there picks the row.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from sklab.data.changes.mixing import drawn_mix, inside
from sklab.data.loaders import TrainArrays
from sklab.models.counters import BatchCounters
from sklab.models.weights.trunk import to_training
from sklab.spec.fit import trained_singly
from sklab.spec.run import Experiment
from sklab.spec.train import TrainSpec
from sklab.training.recipe import (
    Average,
    Mixture,
    align_gradients,
    autocast,
    batch_loss,
    learning_rate,
    make_optimizer,
)

REPLAYED = {"cuda"}  # the types of devices that can replay
_WARM_UP = 2  # calls before a recording, in which libraries start and take their memory


def is_replayed(experiment: Experiment, device: torch.device) -> bool:
    """Whether the steps of the experiment's runs are replayed there, always, so that their numbers do not depend on
    what trains beside them; unless the network can't be recorded."""
    return device.type in REPLAYED and not any(trained_singly(experiment))


class NotRecordableError(Exception):
    """The network does what a graph can't repeat: its step waits for the device, or draws random numbers."""


def recorded(work: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """A function that does what `work` does: the replay of a CUDA graph, or on other devices `work` itself.

    `work` must have run before. It and the function are for one and the same current stream. Raises NotRecordableError.
    """
    if device.type != "cuda":
        return work
    graph = torch.cuda.CUDAGraph()
    gc.collect()  # memory that is freed during a recording would become part of it
    try:
        # Other threads, such as W&B's, may use the driver meanwhile.
        with torch.cuda.graph(graph, stream=torch.cuda.current_stream(device), capture_error_mode="thread_local"):
            work()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise NotRecordableError(str(error).splitlines()[0]) from error
    return graph.replay


class GraphedTraining:
    """The steps of a run on one device: `model`, which lies there, is trained by `recipe` on `images`.

    trunk       names of the parameters that the network started from
    average     the averaged weights, where the recipe has them
    train_loss  float32 []: the sum of the losses of the epoch's steps so far

    A step computes what Lightning's loop computes, with a learning rate that is rounded to float32. `begin_epoch` comes
    before the first step. Nothing here waits for the device. Raises NotRecordableError.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: TrainSpec,
        seed: int,
        images: TrainArrays,
        trunk: frozenset[str] = frozenset(),
    ) -> None:
        self.model, self.recipe, self.device = to_training(model), recipe, images.device
        self.average = Average(model, recipe.ema_decay) if recipe.ema_decay else None
        self.train_loss = torch.zeros((), device=self.device)
        self._counters = BatchCounters(model)
        groups = make_optimizer(model, recipe, trunk).param_groups
        self._images, self._groups = images, [_Group(group, recipe.lr) for group in groups]
        self._tables = _Tables(recipe, seed, images)
        self._draws = images.draws(0)
        self._row = counter(self.device)
        self._places = torch.arange(recipe.batch_size, device=self.device)
        self._replay = self._recorded_step()

    def begin_epoch(self, epoch: int, first: int = 0) -> None:
        """The next step is number `first` of `epoch`, both counted from 0."""
        to_training(self.model)
        for table, drawn in zip(self._draws, self._images.draws(epoch), strict=True):
            table.copy_(drawn)
        self._tables.fill(epoch)
        self._row.fill_(first)

    def step(self) -> None:
        """Take one step."""
        self._replay()
        if self.average is not None and not self.average.begun:
            self.average.update()

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on from here; not the average, nor the sum of losses."""
        return {"model": self.model.state_dict(), "momentum": [sums for group in self._groups for sums in group.sums]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        for sums, kept in zip(self.state_dict()["momentum"], state["momentum"], strict=True):
            sums.copy_(kept)

    def _recorded_step(self) -> Callable[[], object]:
        """The step, recorded; all that the calls before the recording have changed is then restored."""
        changed = [*_tensors(self.state_dict()), *(_tensors(self.average.state_dict()) if self.average else ())]
        before, random = [tensor.clone() for tensor in changed], _random_state(self.device)
        for _ in range(_WARM_UP):
            self._step()  # the second one goes on from averaged weights, as the recording does
        if not torch.equal(random, _random_state(self.device)):
            raise NotRecordableError("it draws random numbers")
        step = recorded(self._step, self.device)
        with torch.no_grad():
            torch._foreach_copy_(changed, before)
        if self.average is not None:
            self.average.begun = False
        self.train_loss.zero_()
        return step

    def _step(self) -> None:
        batch = self._images.batch(self._draws, self._row * self.recipe.batch_size + self._places)
        for group in self._groups:
            group.forget_gradients()
        with self._counters.counted_at_once(), autocast(self.recipe, self.device):
            loss = batch_loss(self.model, batch, self.recipe, self._tables.mixture(self._row))
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.clip_norm:
            weights = [weight for group in self._groups for weight in group.weights]
            nn.utils.clip_grad_norm_(weights, self.recipe.clip_norm)
        for group in self._groups:
            group.step(self._tables.rate(self._row))
        if self.average is not None:
            self.average.update()
        self.train_loss += loss.detach()
        self._row += 1


class _Group:
    """Weights with the same settings of SGD, and their momentum: `sums` of gradients, zero at first. Their learning
    rate is a share of the recipe's, `highest`."""

    def __init__(self, settings: dict[str, Any], highest: float) -> None:
        self.weights: list[nn.Parameter] = settings["params"]
        self.sums = [torch.zeros_like(weight) for weight in self.weights]
        self._share = settings["lr"] / highest
        self._settings = {name: settings[name] for name in ("weight_decay", "momentum", "nesterov")}

    def forget_gradients(self) -> None:
        for weight in self.weights:
            weight.grad = None

    @torch.no_grad()
    def step(self, rate: Tensor) -> None:
        """A step with the recipe's learning rate `rate`, float32 []. Weights without a gradient stay as they are."""
        align_gradients(self.weights)
        pairs = zip(self.weights, self.sums, strict=True)
        moved = [(weight, weight.grad, sums) for weight, sums in pairs if weight.grad is not None]
        weights, gradients, sums = ([each[part] for each in moved] for part in range(3))
        # The optimiser itself refuses to be recorded; this is what its step calls.
        lr = rate if self._share == 1 else rate * self._share
        sgd(weights, gradients, sums, fused=True, lr=lr, dampening=0.0, maximize=False, **self._settings)  # type: ignore[arg-type]  # fused, it takes a tensor too


class _Tables:
    """What the recipe says of each step of an epoch, a row each, on the device. `row` is int64 [1]."""

    def __init__(self, recipe: TrainSpec, seed: int, images: TrainArrays) -> None:
        self._recipe, self._seed, self._side = recipe, recipe.sources(seed).augment, images.side
        steps, device = len(images), images.device
        self._rates = torch.zeros(steps, device=device)
        self._kept, self._mixed, self._shares = (torch.zeros_like(self._rates) for _ in range(3))
        self._boxes = torch.zeros((steps, 4), dtype=torch.int64, device=device)
        self._partners = torch.zeros((steps, recipe.batch_size), dtype=torch.int64, device=device)

    def fill(self, epoch: int) -> None:
        steps, recipe = len(self._rates), self._recipe
        self._rates.copy_(torch.tensor([learning_rate(recipe, epoch + step / steps) for step in range(steps)]))
        shape = (recipe.batch_size, self._side, self._side)
        drawn = [mix for step in range(steps) if (mix := drawn_mix(recipe, shape, (self._seed, epoch, step)))]
        if drawn:  # then there is one for every step
            self._kept.copy_(torch.tensor([mix.kept for mix in drawn]))
            self._mixed.copy_(torch.tensor([1 - mix.kept for mix in drawn]))
            self._shares.copy_(torch.tensor([mix.share for mix in drawn]))
            self._boxes.copy_(torch.tensor([mix.box for mix in drawn]))
            self._partners.copy_(torch.stack([torch.from_numpy(mix.partners) for mix in drawn]))

    def rate(self, row: Tensor) -> Tensor:
        """float32 []: the learning rate of this step."""
        return _picked(self._rates, row)

    def mixture(self, row: Tensor) -> Mixture | None:
        """How the batch of this step is mixed; None where the recipe mixes nothing."""
        if not self._recipe.mixup and not self._recipe.cutmix:
            return None
        tables = (self._kept, self._mixed, self._boxes, self._shares, self._partners)
        kept, mixed, box, share, partners = (_picked(table, row) for table in tables)
        blend = inside(box, self._side, self._side) * share if self._recipe.cutmix else share
        return Mixture(kept, mixed, blend, partners)


def counter(device: torch.device) -> Tensor:
    """int64 [1]. A tensor without dimensions is read by the host when it stands as an index, which waits for the
    device."""
    return torch.zeros(1, dtype=torch.int64, device=device)


def _picked(table: Tensor, row: Tensor) -> Tensor:
    """The row of the table that `row` int64 [1] names."""
    return table.index_select(0, row).squeeze(0)


def _random_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _tensors(state: Any) -> Iterator[Tensor]:
    """The tensors of a state dict, however deep."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, dict | list):
        for part in state.values() if isinstance(state, dict) else state:
            yield from _tensors(part)
