"""What an attempt trains, and how: by replays of a recorded step where that is possible, else in Lightning's loop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch

from sklab.data.augment import Share
from sklab.data.loaders import Loaders, TrainArrays, open_loaders
from sklab.errors import SklabError
from sklab.models.numerics import placed
from sklab.models.weights.start import Start
from sklab.models.weights.trunk import begin
from sklab.spec.data import surely_differ
from sklab.store.measured.images import write_images
from sklab.store.records import RunOrder
from sklab.store.run_folder import RunFolder
from sklab.system.energy import EnergyMeter, cpu_energy, gpu_energy
from sklab.system.processes import PreemptedError, Stop
from sklab.training.attention.recorder import AttentionMeter
from sklab.training.callbacks.best import BestWeights
from sklab.training.callbacks.latency import LatencyMeter
from sklab.training.callbacks.logbook import Logbook
from sklab.training.callbacks.meter import Meter, Peak, peak_memory
from sklab.training.callbacks.pulse import Heartbeat, PulseWriter
from sklab.training.callbacks.resume import ExactResume
from sklab.training.determinism import set_arithmetic
from sklab.training.devices import environment, largest, strategy
from sklab.training.lean_lightning import Callback, SIGTERMException
from sklab.training.metrics.scores import Kept
from sklab.training.module import Classifier, make_trainer
from sklab.training.replay.course import Course, Steps
from sklab.training.replay.steps import GraphedTraining, NotRecordableError, is_replayed

_log = logging.getLogger(__name__)


class BrokenProcessError(Exception):
    """CUDA is broken in this process, and whose doing it is can't be told: none of its runs can go on."""


def _meet_nobody() -> None:
    """A run on one device has no others."""


@dataclass
class Process:
    """The process that trains, and what its runs share.

    share    which of a run's devices `device` is
    stop     what asks all runs to end
    meet     starts the device and meets the other devices of the run; called first of all
    running  the runs that it trains now, and `abreast` the most that it has trained at a time
    broken   whether CUDA works no more here
    energy   what its devices have taken since it was first asked for
    """

    device: torch.device
    share: Share = Share()  # noqa: RUF009 - frozen
    stop: Stop = field(default_factory=Stop)
    meet: Callable[[], None] = _meet_nobody
    running: int = 1
    abreast: int = 1
    broken: bool = False
    _deterministic: bool | None = None

    @cached_property
    def energy(self) -> EnergyMeter:
        if self.share.rank:
            return EnergyMeter("", "the first device's process counts for all")
        if self.device.type == "cuda":
            return gpu_energy(self.share.world)
        return cpu_energy(torch.get_num_threads() * self.share.world)

    def set_arithmetic(self, *, deterministic: bool) -> None:
        """Have it compute as a run wants it: see `training.determinism`."""
        if deterministic is not self._deterministic:
            set_arithmetic(self.device, deterministic=deterministic)
            self._deterministic = deterministic

    def hold(self, running: int) -> None:
        """So many runs are trained from now on."""
        self.running, self.abreast = running, max(self.abreast, running)

    def ensure_usable(self) -> None:
        """After an error of one run: raise BrokenProcessError if it is the end of others too."""
        reason = _why_broken(self.device)
        self.broken = bool(reason)
        if self.broken and self.running > 1:
            raise BrokenProcessError(f"{reason}; {self.running} runs were trained here, and each is tried again alone")


def _why_broken(device: torch.device) -> str:
    """What CUDA answers when it can't be used in this process any more, else ""."""
    try:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    except Exception as error:  # as of now it raises at every call
        return str(error).splitlines()[0]
    return ""


def fit(
    order: RunOrder,
    folder: RunFolder,
    meter: Meter,
    keeper: ExactResume,
    process: Process,
) -> Steps:
    """Train; returns the network as it was evaluated last, with its attention and its images written down."""
    share, device, recipe = process.share, process.device, order.experiment.train
    if recipe.precision == "fp16" and device.type == "cpu":
        raise SklabError("train.precision = fp16 needs a GPU; allowed on the CPU: fp32 or bf16")
    loaders = open_loaders(order.experiment.data, recipe, order.spec.seed, device, share)
    meter.facts = loaders.facts
    _ensure_as_ordered(order, loaders)
    signs = [PulseWriter(folder.path), Heartbeat(folder.heartbeat_file, also=process.energy.look)]
    told: list[Callback] = [meter, Logbook(order, meter, folder.attempt), *signs, keeper]
    watching: list[Callback] = told if share.rank == 0 else [keeper]
    if share.world == 1:  # several devices see a part of the images each: `sklab analyze` reads them all
        watching.append(AttentionMeter(folder.attention_file, order.key, loaders))
    best = BestWeights(meter)
    if order.keep_best and share.rank == 0:
        watching.append(best)
    latency = LatencyMeter(order.experiment)
    watching.append(latency)  # last: the attention of its passes is not recorded
    keeper.stop.listen()
    training = _recorded(order, loaders, meter, device)
    if training is not None:
        course = Course(training, loaders, keeper, watching, order.metrics)
        yield from course.steps()
        network = course.evaluated
    else:
        classifier = _classifier(order, loaders, meter, process)
        _fit_in_lightning(classifier, loaders, folder, keeper, watching)
        network = classifier.evaluated
    if share.rank == 0 and len(meter.epochs) != recipe.epochs:
        raise RuntimeError(f"{len(meter.epochs)} of {recipe.epochs} epochs were evaluated")
    meter.peak = Peak(*map(largest, peak_memory(device).most(meter.peak)))
    meter.latency_ms, meter.replay_ms = latency.latency_ms, latency.replay_ms
    _write_images(folder, order, meter, loaders)
    if order.keep_best and share.rank == 0:
        best.write(folder.best_weights_file)
    return network


def _write_images(folder: RunFolder, order: RunOrder, meter: Meter, loaders: Loaders) -> None:
    """Write what the run made of each image; the first device alone has evaluations in its meter."""
    scores = meter.images.of_run(order.key, meter.facts.val_images, loaders.val_sources)
    if scores is not None:
        write_images(folder, scores)


def _new_network(order: RunOrder, device: torch.device, meter: Meter) -> Start:
    """The network before its first step, from the files of its weights too: every attempt begins with it, also one that
    then goes on from a checkpoint."""
    recipe = order.experiment.train
    sources = recipe.sources(order.spec.seed)
    torch.manual_seed(sources.init)
    begun = begin(order.experiment.model, recipe)
    meter.start = begun.origin
    network = placed(begun.network, recipe.memory_format, device)
    if recipe.vary:  # else what a network drops in training would go with its initial weights
        torch.manual_seed(sources.augment)
    return replace(begun, network=network)


def _ensure_as_ordered(order: RunOrder, loaders: Loaders) -> None:
    """Raise SklabError when the data are not those that the study was started with."""
    if surely_differ(order.fingerprint, loaders.facts.fingerprint):
        raise SklabError(
            "the data have changed since the study was started; start it again, it then tells in what they have changed"
        )


def _recorded(order: RunOrder, loaders: Loaders, meter: Meter, device: torch.device) -> GraphedTraining | None:
    """The training of a new network by replays; None where it is Lightning's."""
    if not is_replayed(order.experiment, device) or not isinstance(loaders.train, TrainArrays):
        return None
    try:
        begun, recipe = _new_network(order, device, meter), order.experiment.train
        return GraphedTraining(begun.network, recipe, order.spec.seed, loaders.train, begun.trunk)
    except NotRecordableError as error:
        _log.warning("every operation of a step is launched by itself, for the step can't be recorded: %s", error)
        return None


def _classifier(order: RunOrder, loaders: Loaders, meter: Meter, process: Process) -> Classifier:
    """A new network with its recipe, for Lightning."""
    recipe, seed, rank = order.experiment.train, order.spec.seed, process.share.rank
    begun = _new_network(order, process.device, meter)
    whole_steps = len(loaders.train) // recipe.accumulate  # a batch is always full, and so is the sum behind a step
    kept = Kept(len(loaders.val_labels), len(loaders.classes), order.metrics)
    classifier = Classifier(begun.network, recipe, seed, whole_steps * recipe.accumulate, kept, begun.trunk)
    if rank:  # else the devices would drop the same units of different images
        torch.manual_seed(recipe.sources(seed).augment + (rank << 31))
    return classifier


def _fit_in_lightning(
    classifier: Classifier,
    loaders: Loaders,
    folder: RunFolder,
    keeper: ExactResume,
    watching: Sequence[Callback],
) -> None:
    trainer = make_trainer(
        classifier.recipe,
        classifier.device,
        folder.path,
        max_epochs=classifier.recipe.epochs,
        limit_train_batches=classifier.batches,
        devices=keeper.share.world,
        strategy=strategy(keeper.share),
        plugins=[keeper.checkpoints, *environment(keeper.share)],
        callbacks=list(watching),
        logger=False,  # the meter tells whoever follows the run
    )
    try:
        trainer.fit(classifier, loaders.train, loaders.val, ckpt_path=keeper.resume_file, weights_only=True)
    except SIGTERMException:  # it came while Lightning was setting up, before the keeper had the signals back
        raise PreemptedError("SIGTERM before the first step of this attempt") from None
