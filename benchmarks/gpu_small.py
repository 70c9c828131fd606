"""Section of gpu.py: many small runs on one card in one process, by several ways of sharing it."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from gpu_measure import Bench, Row, attempt
from gpu_stacked import StackedArrays, StackedNetworks
from torch import Tensor, nn

from sklab.data.loaders import TrainArrays, open_loaders
from sklab.models.numerics import LAYOUTS
from sklab.models.zoo import build
from sklab.spec.train import TrainSpec
from sklab.sweep.design.cells import resolve
from sklab.sweep.files.experimentfile import read_experiment
from sklab.training.determinism import set_arithmetic
from sklab.training.lean_lightning import Callback
from sklab.training.module import CHECK_EVERY, Classifier, make_trainer
from sklab.training.replay.steps import GraphedTraining

EXPERIMENT = Path(__file__).parents[1] / "experiments" / "quickstart.yaml"
EAGER, GRAPH = "launched by Lightning", "recorded"
Meet = Callable[[], object]
Make = Callable[[], tuple[nn.Module, TrainArrays | StackedArrays]]


class Rate(NamedTuple):
    """So many steps, of all runs together, in so much time."""

    steps: int
    seconds: float


class Run:
    """Steps of a training without an end, in turn with others: on a stream of its own, as sklab trains `--abreast`."""

    def __init__(self, recipe: TrainSpec, seed: int, make: Make, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        with self._on_stream():
            network, arrays = make()
            self.training = GraphedTraining(network, recipe, seed, cast(TrainArrays, arrays))
        self._epoch_steps, self._event = len(arrays), cast("torch.cuda.Event | None", None)
        self._steps = self._endless()

    @property
    def is_ready(self) -> bool:
        return self._event is None or self._event.query()

    def advance(self) -> None:
        if self._event is not None:
            self._event.synchronize()
        with self._on_stream():
            self._event = next(self._steps)

    def _on_stream(self) -> Any:
        return torch.cuda.stream(self._stream) if self._stream else nullcontext()

    def _endless(self) -> Iterator[torch.cuda.Event | None]:
        for epoch in itertools.count():
            self.training.begin_epoch(epoch)
            for number in range(self._epoch_steps):
                self.training.step()
                yield self._reached() if number % CHECK_EVERY == 0 else None

    def _reached(self) -> torch.cuda.Event | None:
        if self._stream is None:
            return None
        event = torch.cuda.Event(blocking=True)
        event.record()
        return event


class Small:
    """The experiment of the quickstart: its network, data and recipe."""

    def __init__(self, bench: Bench) -> None:
        experiment = resolve(read_experiment(EXPERIMENT, {}).tree)
        self.bench, self.recipe, self._model, self._data = bench, experiment.train, experiment.model, experiment.data
        if bench.tiny:
            self._data = self._data.model_copy(update={"train_size": 320, "val_size": 100})

    @property
    def batch(self) -> int:
        return self.recipe.batch_size

    def run(self, seed: int) -> Run:
        return self._run(seed, lambda: (self._placed(self._network(seed)), self._arrays(seed)))

    def stacked(self, count: int) -> Run:
        """So many seeds as one network, and so as one run, each of whose steps is one of each seed."""

        def make() -> tuple[nn.Module, StackedArrays]:
            networks = [self._network(seed) for seed in range(count)]
            arrays = StackedArrays([self._arrays(seed) for seed in range(count)])
            return self._placed(StackedNetworks(networks)), arrays

        return self._run(0, make)

    def in_lightning(self, seed: int, meet: Meet) -> Rate:
        """Sklab's loop for what can't be replayed, without evaluation; `meet` is called when it is warm."""
        arrays, timer = self._arrays(seed), _Timer(self.bench, meet)
        classifier = Classifier(self._placed(self._network(seed)), self.recipe, seed, len(arrays))
        how: dict[str, Any] = {"max_steps": timer.last, "max_epochs": -1, "limit_train_batches": len(arrays)}
        none: dict[str, Any] = {"limit_val_batches": 0, "logger": False, "devices": 1}
        with tempfile.TemporaryDirectory() as folder:
            trainer = make_trainer(self.recipe, self.bench.device, Path(folder), callbacks=[timer], **how, **none)
            trainer.fit(classifier, arrays)
        return timer.rate

    def _run(self, seed: int, make: Make) -> Run:
        return Run(self.recipe, seed, make, self.bench.device)

    def _arrays(self, seed: int) -> TrainArrays:
        arrays = open_loaders(self._data, self.recipe, seed, self.bench.device).train
        assert isinstance(arrays, TrainArrays)
        return arrays

    def _network(self, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return build(self._model)

    def _placed(self, network: nn.Module) -> nn.Module:
        placed: nn.Module = network.to(self.bench.device).to(memory_format=LAYOUTS[self.recipe.memory_format])  # type: ignore[call-overload]
        return placed


class _Timer(Callback):
    """The rate of the steps after those for warming up."""

    def __init__(self, bench: Bench, meet: Meet) -> None:
        self._bench, self._meet, self._warm, self._count = bench, meet, bench.size(30, 2), bench.size(300, 4)
        self.last, self._began, self.rate = self._warm + self._count, 0.0, Rate(0, 0.0)

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self._warm:
            self._bench.synchronize()
            self._meet()
            self._began = time.perf_counter()
        elif trainer.global_step == self.last:
            self._bench.synchronize()
            self.rate = Rate(self._count, time.perf_counter() - self._began)


def in_turn(bench: Bench, runs: Sequence[Run], meet: Meet = lambda: None) -> Rate:
    """The rate of the steps of all runs together, a step of each that is ready in turn."""
    for _ in range(bench.size(20, 2)):
        for run in runs:
            run.advance()
    bench.synchronize()
    meet()
    began, steps, seconds = time.perf_counter(), 0, bench.size(2.0, 0.1)
    while time.perf_counter() - began < seconds:
        ready = [run for run in runs if run.is_ready] or runs[:1]
        for run in ready:
            run.advance()
        steps += len(ready)
    bench.synchronize()
    return Rate(steps, time.perf_counter() - began)


def small(bench: Bench) -> Iterator[Row]:
    """In one process. What is compared with comes first."""
    experiment, counts = Small(bench), bench.size((4, 16), (2, 4))
    torch.set_num_threads(1)  # as in `processes`
    set_arithmetic(bench.device, deterministic=experiment.recipe.deterministic)
    launched: list[Rate] = []  # by itself: what the others are compared with

    def row(measure: Callable[[], Rate], seeds: int = 1) -> Row:
        return told(measure(), experiment.batch, launched, seeds)

    def one_launched() -> Row:
        launched.append(experiment.in_lightning(0, lambda: None))
        return told(launched[0], experiment.batch, launched)

    yield attempt(f"one run, {EAGER}", one_launched)
    yield attempt(f"one run, {GRAPH}", row, partial(_abreast, experiment, 1))
    for count in counts:
        case = f"{count} runs, {GRAPH}, each on its stream"
        yield attempt(case, row, partial(_abreast, experiment, count))
    yield attempt("the weights of 4 runs after 20 steps, together and alone", _same_bits, experiment)
    for count in counts:
        case = f"{count} runs, stacked into one network, {GRAPH}"
        yield attempt(case, row, partial(_stacked, experiment, count), count)


def _abreast(experiment: Small, count: int) -> Rate:
    return in_turn(experiment.bench, [experiment.run(seed) for seed in range(count)])


def _stacked(experiment: Small, count: int) -> Rate:
    return in_turn(experiment.bench, [experiment.stacked(count)])


def told(rate: Rate, batch: int, launched: Sequence[Rate], seeds: int = 1) -> Row:
    """The row of a rate of steps, each of which is one of so many `seeds`; `launched`: that of one run, if there is."""
    steps = seeds * rate.steps / rate.seconds
    times = steps * launched[0].seconds / launched[0].steps if launched else None
    return {"ms a step of a run": 1000 / steps, "samples/s": steps * batch, "times one launched": times}


def _same_bits(experiment: Small) -> Row:
    """Whether company changes a bit of a run's weights."""
    together = [experiment.run(seed) for seed in range(4)]
    for _ in range(20):
        for run in together:
            run.advance()
    alone = [experiment.run(seed) for seed in range(4)]
    for run in alone:
        for _ in range(20):
            run.advance()
    experiment.bench.synchronize()
    equal = [_equal(*(run.training.model.state_dict() for run in pair)) for pair in zip(together, alone, strict=True)]
    if not all(equal):
        return {"error": f"{equal.count(False)} of 4 differ"}
    return {"note": "equal, to the last bit"}


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)
